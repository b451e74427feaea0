"""What a step does with experts on several devices: routing's correlation, zero-compute experts, host memory."""

import pytest

from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.offload import offload_times
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer, ModelSpec, group_layers

H100 = device_model(load_accelerator("h100-sxm"))


def model(zero_experts: int = 0) -> ModelSpec:
    """One layer of 8 experts, 2 per token, beside `zero_experts` that compute nothing."""
    moe = Moe(hidden_size=64, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, zero_experts=zero_experts)
    return ModelSpec(
        id="experts",
        model_type="experts",
        hidden_size=64,
        vocab_size=100,
        tie_word_embeddings=True,
        tables=(),
        layer_groups=group_layers([Layer(feed_forwards=(moe,), norms=(Norm(size=64),))]),
        head=None,
    )


def experts_kernel(spec: ModelSpec, works: list[Workload], placement: Placement) -> Kernel:
    step = step_time(spec, works, precision_for(spec, "bf16"), H100, placement)
    return next(time.kernel for time in step.times if time.kernel.family == "experts")


@pytest.mark.parametrize("ep", [1, 4])
def test_correlated_tokens_of_a_prompt_reach_fewer_experts_with_and_without_expert_parallelism(ep: int) -> None:
    """16 tokens of one request, half of them independent: 1 + (16 - 1) / 2 = 8.5 draws instead of 16."""
    half = Routing(correlation=0.5)
    kernel = experts_kernel(model(), [Workload.prefill(16, routing=half)], Placement(tp=ep, ep=ep))
    draws = 1 + 0.5 * (16 - 1)
    if ep == 1:
        assert kernel.distinct == pytest.approx(8 * (1 - (1 - 2 / 8) ** draws))
    else:
        assert kernel.distinct == pytest.approx(Routing().busiest_rank(8, 2, draws, ep).distinct)
        alone = experts_kernel(model(), [Workload.prefill(16)], Placement(tp=ep, ep=ep))
        assert kernel.distinct < alone.distinct


def test_correlation_holds_where_a_chunk_and_sequences_share_a_step() -> None:
    """3 decoding sequences and a chunk of 13 tokens are 4 requests with 16 tokens: 4 + 0.5 * 12 = 10 draws."""
    half = Routing(correlation=0.5)
    works = [Workload.decode(64, 3, routing=half), Workload.prefill(13, routing=half)]
    kernel = experts_kernel(model(), works, Placement())
    assert kernel.distinct == pytest.approx(8 * (1 - (1 - 2 / 8) ** 10))


def test_zero_compute_experts_take_their_share_of_the_tokens_under_expert_parallelism() -> None:
    """Of 2 choices among 8 + 4 experts, 2 * 8 / 12 = 4/3 fall on an expert with weights; on 8 ranks of one expert each
    the busiest rank's expert is the most reached one of 8 with p = (4/3) / 8 = 1/6."""
    kernel = experts_kernel(model(zero_experts=4), [Workload.decode(64, 1)], Placement(tp=8, ep=8))
    expected = Routing().busiest_rank(8, 4 / 3, 1, 8)
    assert kernel.distinct == pytest.approx(expected.distinct)
    assert expected.distinct < Routing().busiest_rank(8, 2, 1, 8).distinct or expected.distinct == 1.0
    many = experts_kernel(model(zero_experts=4), [Workload.decode(64, 6)], Placement(tp=2, ep=2))
    reached = 1 - (1 - 1 / 6) ** 6  # of one expert by 6 tokens: 0.665
    assert 4 * reached < many.distinct < Routing().busiest_rank(8, 2, 6, 2).distinct


def test_zero_compute_experts_take_their_share_of_the_tokens_in_host_memory() -> None:
    """All 8 experts in host memory: 3 tokens reach 8 * (1 - (1 - 1/6) ** 3) of them, each of 3 * 64 * 32 weights."""
    spec, plan = model(zero_experts=4), Placement(offload="experts", offload_share=1.0)
    work = Workload.decode(64, 3)
    times = offload_times(spec.ops(work), [work], precision_for(spec, "bf16"), plan, H100)
    reached = 8 * (1 - (1 - 1 / 6) ** 3)
    needed = reached * 3 * 64 * 32 * 2
    assert sum(time.seconds for time in times) == pytest.approx(needed / H100.host_bytes_per_second)
