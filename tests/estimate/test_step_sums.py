"""A step adds up kernels, collectives and the engine's own time; servers add up steps. Worked by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hand_made import BF16, DENSE, SPARSE, device

from sparsecalc.core.workload import Workload
from sparsecalc.estimate.host import Host, HostRules
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.places import LlamaLayers, places
from sparsecalc.estimate.prices import usd_per_million_tokens
from sparsecalc.estimate.serving import accepted_tokens, chunks, prefill_step, tpot_seconds
from sparsecalc.estimate.step import Step, step_time, total
from sparsecalc.estimate.timing import KernelTime
from sparsecalc.model.spec import ModelSpec


def spent(seconds: float, spread: float = 0.0, component: str = "attention", **parts: float) -> KernelTime:
    kernel = Kernel(name="k", component=component, family="gemm")  # type: ignore[arg-type]
    return KernelTime(kernel, seconds, spread, parts or {"compute": seconds})  # type: ignore[arg-type]


# --- sums ---------------------------------------------------------------------------------------------------------


def test_the_spread_of_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 s by 10 % and 4 s by 20 %; half of the variance is shared, 12 % come from the system.

    alone 0.3^2 + 0.8^2 = 0.73, together (0.3 + 0.8)^2 = 1.21: (0.365 + 0.605) / 7^2 + 0.12^2
    """
    monkeypatch.setattr("sparsecalc.estimate.step.engine_default", lambda name: {"shared_error": 0.5}[name])
    step = total([spent(3.0, 0.1), spent(4.0, 0.2)], 0.12)
    assert step.seconds == 7
    assert step.spread == pytest.approx(math.sqrt(0.97 / 49 + 0.0144))
    assert step.seconds_low == pytest.approx(7 / math.exp(1.2816 * step.spread))
    assert step.seconds_high == pytest.approx(7 * math.exp(1.2816 * step.spread))


@pytest.mark.parametrize(("shared", "spread"), [(1.0, 0.1), (0.0, 0.1 / math.sqrt(2))])
def test_errors_that_are_shared_do_not_average_out(
    shared: float, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparsecalc.estimate.step.engine_default", lambda name: shared)
    assert total([spent(5.0, 0.1)] * 2, 0.0).spread == pytest.approx(spread)


def test_a_step_by_bound_and_component() -> None:
    times = [
        spent(3.0, compute=1.0, weights=2.0),
        spent(4.0, component="lm_head", weights=1.5, overhead=2.5),
        spent(2.0, component="other", network=2.0),
    ]
    step = total(times, 0.0)
    assert step.by_bound() == {"compute": 1.0, "weights": 3.5, "overhead": 2.5, "network": 2.0}
    assert step.bound == "weights"
    assert step.by_component() == {"attention": 3.0, "lm_head": 4.0, "network": 2.0}


def test_the_bounds_of_many_steps() -> None:
    parts = {"compute": np.array([1.0, 5.0]), "weights": np.array([2.0, 2.0])}
    step = total([spent(np.array([3.0, 7.0]), **parts)], 0.0)  # type: ignore[arg-type]
    assert step.bound.tolist() == ["weights", "compute"]
    assert step.seconds_low.tolist() == [3.0, 7.0]


# --- steps of hand-made models ------------------------------------------------------------------------------------


def by_name(spec: ModelSpec, work: Workload, plan: Placement | None = None, **engine: float) -> dict[str, float]:
    """Seconds of each of a step's parts."""
    step = step_time(spec, work, BF16, device(engine=engine), plan)
    assert step.seconds == pytest.approx(sum(time.seconds for time in step.times))
    return {time.kernel.name: time.seconds for time in step.times}


def test_a_step_on_one_device() -> None:
    """o_proj of 3 rows, 2 layers: 2 * (384 / 500 + (128 + 96) / 50 + 2) s; the engine 0.25 s and 0.125 per sequence."""
    parts = by_name(DENSE, Workload.decode(5, 3), step_seconds=0.25, sequence_seconds=0.125)
    assert parts["o_proj"] == pytest.approx(2 * (0.768 + 4.48 + 2))
    assert parts["e, per step"] == pytest.approx(0.25 + 3 * 0.125)
    assert not {"all-reduce", "dispatch", "between stages"} & set(parts)


def test_tensor_parallelism_sums_behind_every_mixer_and_feed_forward() -> None:
    """4 sums of 3 rows of 8 in 2 bytes among 2 devices: 4 * (1.5 + 48 / 50); logits of 3 rows: 1.5 + 60 / 2 / 50."""
    parts = by_name(DENSE, Workload.decode(5, 3), Placement(tp=2))
    assert parts["all-reduce"] == pytest.approx(4 * (1.5 + 0.96))
    assert parts["gather of the logits"] == pytest.approx(1.5 + 0.6)


def test_data_parallel_attention_dispatches_and_combines() -> None:
    """2 copies with 2 sequences each: each sends 2 rows of 8 to at most 2 ranks, 64 bytes, half of them to the other.

    In each of 2 layers, there and back: 1.5 + 32 / 50. Nothing is summed behind the experts.
    """
    parts = by_name(SPARSE, Workload.decode(5, 4), Placement(dp=2, ep=2), sequence_seconds=0.5)
    assert parts["dispatch"] == parts["combine"] == pytest.approx(2 * (1.5 + 0.64))
    assert "all-reduce" not in parts
    assert parts["e, per step"] == pytest.approx(0.5 * 4)


def test_stages_pass_micro_batches_on() -> None:
    """4 sequences pass 2 stages as 2 micro-batches of 2: one hand-over of 2 * 2 rows of 8, half of 64 bytes."""
    parts = by_name(DENSE, Workload.decode(5, 4), Placement(pp=2))
    assert parts["between stages"] == pytest.approx(1.5 + 0.64)
    assert parts["o_proj"] == pytest.approx(2 * (256 / 500 + (128 + 64) / 50 + 2))


def test_what_the_host_computes_leaves_the_device() -> None:
    """One of 2 layers and the output are on the card: the host computes the other with the constants of its own."""
    host = Host(
        name="h",
        memory_bytes_per_second=10.0,
        link_bytes_per_second=40.0,
        device=device(),
        rules=HostRules(visit_seconds=0.5),
    )
    plan = Placement(places=places(DENSE, LlamaLayers(gpu_layers=2)), host=host)
    work = Workload.decode(5, 3)
    whole, parts = by_name(DENSE, work), by_name(DENSE, work, plan)
    assert parts["o_proj"] == parts["o_proj in host memory"] == pytest.approx(whole["o_proj"] / 2)
    assert parts["lm_head"] == whole["lm_head"]
    crossing = 2 * 3 * 8 * 4 / 40  # there and back: 3 hidden states of 8 in 4 bytes
    assert parts["between device and host"] == pytest.approx(0.5 + crossing)
    assert parts["weights sent to the device"] == 0


def test_from_so_many_tokens_on_weights_are_sent() -> None:
    """The device computes all; half of the layers' weights pass the link, as fast as mapped files do."""
    rules = HostRules(sends_from=3, sends="whole tensors", sent_share=0.5)
    host = Host(name="h", memory_bytes_per_second=10.0, link_bytes_per_second=40.0, device=device(), rules=rules)
    plan = Placement(places=places(DENSE, LlamaLayers(gpu_layers=2)), host=host)
    work = Workload.prefill(3)
    whole, parts = by_name(DENSE, work), by_name(DENSE, work, plan)
    assert parts["o_proj"] == whole["o_proj"]
    assert parts["o_proj in host memory"] == 0
    layer = sum(BF16.weight_bytes(op) for op in DENSE.ops(work) if op.group)
    cache = 2 * 3 * 8  # of 3 tokens, keys and values of one head of 4
    assert parts["weights sent to the device"] == pytest.approx((layer + cache) / (40 * 0.5))


def test_weights_over_the_link() -> None:
    """A quarter of the layers is sent when it is needed, over a link of 20 bytes per second."""
    plan, work = Placement(offload="layers", offload_share=0.25), Workload.decode(5, 3)
    whole, linked = by_name(DENSE, work), by_name(DENSE, work, plan)
    assert linked["o_proj"] == whole["o_proj"]
    assert linked["o_proj in host memory"] == pytest.approx(2 * 128 / 4 / 20)


# --- servers ------------------------------------------------------------------------------------------------------


def test_a_prompt_in_chunks() -> None:
    """20 tokens in chunks of 8: each sees all before it, and logits are wanted for its last position."""
    found = chunks(20, 8)
    assert [(work.new_tokens, work.context_len, work.logits) for work in found] == [
        (8, 8, "last"),
        (8, 16, "last"),
        (4, 20, "last"),
    ]
    assert [work.new_tokens for work in chunks(8, 8)] == [8]
    together = chunks(np.array([20.0, 5.0]), 8)
    assert [work.new_tokens.tolist() for work in together] == [[8, 5], [8, 0], [4, 0]]
    assert [work.context_len.tolist() for work in together] == [[8, 5], [16, 5], [20, 5]]


def a_second_per_token(works: Sequence[Workload]) -> Step:
    seconds = float(sum(work.tokens for work in works))
    return Step([spent(seconds)], seconds, 0.1 * len(works))


def test_a_prompt_is_its_chunks_one_after_another() -> None:
    """8, 8 and 4 s; the spread is that of the parts by their seconds."""
    alone = prefill_step(chunks(20, 8), a_second_per_token)
    assert (alone.seconds, len(alone.times)) == (20, 3)
    assert alone.spread == pytest.approx(0.1)
    uneven = prefill_step(
        chunks(12, 8), lambda works: Step([], works[0].new_tokens, 0.1 if works[0].new_tokens == 8 else 0.4)
    )
    assert uneven.spread == pytest.approx((8 * 0.1 + 4 * 0.4) / 12)


@pytest.mark.parametrize(
    ("concurrency", "output_len", "tokens_per_step", "seconds"),
    [
        # t(3) = 3; chunks of 6 and 4 beside 2 sequences take 8 - 3 and 6 - 3 longer, for 2 others, in 4 steps
        (3, 5, 1, 3 + (5 + 3) * 2 / 4),
        (1, 5, 1, 1),  # nobody else's prompt is in the way
        (3, 1, 1, 3),  # the only token comes with the prompt
        (3, 5, 2, (3 + (5 + 3) * 2 / 1.5) / 2),  # 2.5 steps of 2 tokens
    ],
)
def test_tokens_wait_for_the_prompts_of_others(
    concurrency: int, output_len: int, tokens_per_step: float, seconds: float
) -> None:
    requests = Requests(prompt_len=10, output_len=output_len, concurrency=concurrency)
    step = tpot_seconds(requests, chunks(10, 6), a_second_per_token, Workload.decode, tokens_per_step)
    assert step.seconds == pytest.approx(seconds)
    assert step.spread == 0.1


def test_a_short_prompt_has_no_share_in_the_chunks_of_a_long_one() -> None:
    """10 and 4 tokens in chunks of 6, each work of a step costs 5 s more: t(3) = 8 and t(2 with n) = 12 + n.

    The long one: (18 - 8 + 16 - 8) * 2 / 4 more; the short one: its only chunk, (16 - 8) * 2 / 4.
    """

    def step(works: Sequence[Workload]) -> Step:
        seconds = sum(work.tokens for work in works) + 5.0 * len(works)
        return Step([], seconds, 0.1)

    requests = Requests(prompt_len=np.array([10.0, 4.0]), output_len=5, concurrency=3)
    found = tpot_seconds(requests, chunks(requests.prompt_len, 6), step, Workload.decode)
    assert np.asarray(found.seconds).tolist() == [8 + 18 * 2 / 4, 8 + 8 * 2 / 4]


def test_tokens_are_decoded_at_the_mean_context() -> None:
    """A prompt of 10 and half of an answer of 5."""
    seen = []

    def decode(context: int, batch: int) -> Workload:
        seen.append((context, batch))
        return Workload.decode(context, batch)

    tpot_seconds(Requests(prompt_len=10, output_len=5, concurrency=3), chunks(10, 6), a_second_per_token, decode)
    assert seen == [(12, 3), (12, 2)]


@pytest.mark.parametrize(
    ("draft_tokens", "acceptance", "tokens"),
    [(4, 0.8, 1 + 0.8 + 0.64 + 0.512 + 0.4096), (4, 0.0, 1), (4, 1.0, 5), (0, 0.5, 1), (1, 0.5, 1.5)],
)
def test_accepted_tokens(draft_tokens: int, acceptance: float, tokens: float) -> None:
    """1 + a + a^2 + ... + a^g: arXiv:2211.17192, equation 1."""
    assert accepted_tokens(draft_tokens, acceptance) == pytest.approx(tokens)


def test_dollars() -> None:
    """3.6 USD an hour are 0.001 a second; a million tokens of 1 ms take 1,000 s."""
    assert usd_per_million_tokens(3.6, 0.001) == pytest.approx(1.0)
    assert usd_per_million_tokens(None, 0.001) is None
