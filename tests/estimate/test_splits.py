"""Which devices hold what: ways of splitting an op, what lies in host memory, and plans that cannot be."""

import pytest
from hand_made import BF16, DENSE, EXPERTS, SPARSE, device, model

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.fit import DeviceMemory
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.offload import offload_times, resident_share, whole_experts
from sparsecalc.estimate.placement import Placement, attention_heads
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec

WORK = Workload.decode(5, 2)


def op_of(spec: ModelSpec, name: str) -> Op:
    return next(op for op in spec.ops(WORK) if op.name == name)


@pytest.mark.parametrize(
    ("name", "plan", "ways"),
    [
        ("q_proj", Placement(tp=4), 4),
        ("k_proj", Placement(tp=4), 1),  # one key-value head: a copy on every device
        ("scores_and_values", Placement(tp=4), 1),
        ("router", Placement(tp=4), 1),
        ("q_proj", Placement(tp=2, dp=4), 2),  # copies of the attention are not splits of it
        ("experts.down_proj", Placement(tp=2), 2),
        ("experts.down_proj", Placement(tp=2, dp=4), 8),
        ("experts.down_proj", Placement(tp=2, dp=4, ep=4), 8),
        ("lm_head", Placement(tp=2, pp=3), 2),
    ],
)
def test_ways(name: str, plan: Placement, ways: int) -> None:
    assert plan.ways(op_of(SPARSE, name)) == ways


def test_two_key_value_heads_are_split_in_two_at_most() -> None:
    spec = model(EXPERTS, SPARSE.mixers[0].but(num_attention_heads=4, num_key_value_heads=2))
    assert [Placement(tp=tp).ways(op_of(spec, "k_proj")) for tp in (1, 2, 4)] == [1, 2, 2]
    assert attention_heads(spec) == [4]


def test_devices_beyond_the_key_value_heads_hold_copies_and_no_tp_but_that_of_the_queries_is_refused() -> None:
    """As vLLM, SGLang and TensorRT-LLM do; ten heads on four devices: the busiest has three."""
    spec = model(EXPERTS, SPARSE.mixers[0].but(num_attention_heads=40, num_key_value_heads=10))
    ways = {tp: Placement(tp=tp).ways(op_of(spec, "k_proj")) for tp in (1, 2, 4, 5, 8, 10, 20, 40)}
    assert ways == {1: 1, 2: 2, 4: 10 / 3, 5: 5, 8: 5, 10: 10, 20: 10, 40: 10}
    for tp in ways:
        Placement(tp=tp).check_against(spec)
    for name, most in (("deepseek-v3", 128), ("kimi-k2", 64), ("qwen3.5-397b-a17b", 32), ("glm-5", 64)):
        for tp in (1, 16, most):
            Placement(tp=tp).check_against(load_model(name).spec)
        with pytest.raises(InputError, match=f"tp {2 * most} does not divide the {most} attention heads"):
            Placement(tp=2 * most).check_against(load_model(name).spec)


def test_counts_of_a_placement() -> None:
    plan = Placement(tp=2, pp=3, dp=4, ep=8)
    assert (plan.num_gpus, plan.moe_tp, plan.name) == (24, 1, "tp 2, pp 3, dp 4, ep 8")
    assert (Placement(tp=4, ep=2).moe_tp, Placement().name) == (2, "one device")


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Placement(tp=3), "tp 3 does not divide the 2 attention heads of tiny. tp may be 1, 2"),
        (Placement(tp=0), "tp is 0. It must be 1 or more"),
        (Placement(pp=3), "pp 3 is more than the 2 layers of tiny"),
        (Placement(dp=8, ep=8), "ep 8 is more than the 4 experts of tiny"),
        (Placement(tp=2, ep=3), "ep 3 does not divide tp x dp = 2"),
        (Placement(offload="experts", offload_share=1.5), "the offloaded share is 1.5. It must be between 0 and 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_placements_that_cannot_be(plan: Placement, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan.check_against(SPARSE)
    assert str(error.value) == text


def test_a_dense_model_has_no_experts_to_split() -> None:
    with pytest.raises(InputError, match="ep 2 for tiny, which has no experts"):
        Placement(tp=2, ep=2).check_against(DENSE)
    Placement(tp=2, pp=2, dp=3).check_against(DENSE)


# --- host memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "name", "share"),
    [
        (Placement(), "q_proj", 1.0),
        (Placement(offload="experts", offload_share=0.5), "experts.down_proj", 0.5),
        (Placement(offload="experts", offload_share=0.3), "experts.down_proj", 0.75),  # 1.2 of 4: one expert
        (Placement(offload="experts", offload_share=0.5), "q_proj", 1.0),
        (Placement(offload="layers", offload_share=0.3), "q_proj", 0.7),
        (Placement(offload="layers", offload_share=0.3), "lm_head", 1.0),
    ],
)
def test_what_stays_on_the_device(plan: Placement, name: str, share: float) -> None:
    assert resident_share(plan, op_of(SPARSE, name)) == pytest.approx(share)


def test_experts_are_kept_whole() -> None:
    op = op_of(SPARSE, "experts.down_proj")
    counts = [whole_experts(Placement(offload="experts", offload_share=share), op) for share in (0, 0.1, 0.3, 0.9, 1)]
    assert counts == [0, 0, 1, 4, 4]


def test_layers_in_host_memory_come_over_the_link() -> None:
    """40 % of both layers' q_proj, 2 * 128 * 0.4 bytes, at 20 bytes/s per device; the head stays."""
    plan = Placement(tp=2, offload="layers", offload_share=0.4)
    times = {time.kernel.name: time for time in offload_times(DENSE.ops(WORK), [WORK], BF16, plan, device())}
    assert times["q_proj in host memory"].seconds == pytest.approx(2 * 128 * 0.4 / (2 * 20))
    assert times["q_proj in host memory"].parts == {"host": times["q_proj in host memory"].seconds}
    assert set(times) == {
        f"{name} in host memory" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")
    }
    assert offload_times(DENSE.ops(WORK), [WORK], BF16, Placement(), device()) == []


def test_the_least_used_experts_lie_in_host_memory() -> None:
    """2 of 4 experts, each reached by 2 tokens with 1 - (1 - 2/4)^2 = 0.75: 1.5 experts of 24 elements in 2 bytes."""
    plan = Placement(offload="experts", offload_share=0.5)
    times = {time.kernel.name: time for time in offload_times(SPARSE.ops(WORK), [WORK], BF16, plan, device())}
    assert set(times) == {"experts.gate_up_proj in host memory", "experts.down_proj in host memory"}
    assert times["experts.down_proj in host memory"].seconds == pytest.approx(2 * 1.5 * 24 * 2 / 20)


# --- bytes of the fullest device ----------------------------------------------------------------------------------


def held(spec: ModelSpec, plan: Placement, batch: int = 2, context: int = 5) -> tuple[int, int, int]:
    load = Load(batch_size=batch, context_len=context, max_num_batched_tokens=3)
    found = DeviceMemory(spec, BF16, plan).at(load)
    assert found.total == found.weights + found.caches + found.working
    return found.weights, found.caches, found.working


def test_one_device_holds_everything() -> None:
    """872 parameters; 2 layers x 8 elements x 10 tokens; 2 (3 * 2 * 8 + 3 * 24) working (tests of costs)."""
    assert held(DENSE, Placement()) == (2 * 872, 2 * 160, 240)


def test_two_devices_split_what_can_be_split() -> None:
    """Whole on both: k and v, 2 * 64 parameters, and the cache of their one head. Norms (5 * 8) count as split."""
    assert held(DENSE, Placement(tp=2)) == ((2 * 872 + 2 * 128) // 2, 320, 240)


def test_stages_have_an_even_share_of_weights_and_caches() -> None:
    assert held(DENSE, Placement(pp=2)) == (872, 160, 240)


def test_copies_of_the_attention_share_the_sequences() -> None:
    """3 sequences on 2 copies: 2 on the fuller one. Of the experts each copy holds half, of all else everything."""
    assert held(SPARSE, Placement(dp=2, ep=2), batch=3) == (2 * (1224 - 576 // 2), 320, held(SPARSE, Placement())[2])


def test_less_is_held_where_some_lies_in_host_memory() -> None:
    experts = Placement(offload="experts", offload_share=0.5)
    assert held(SPARSE, experts)[0] == 2 * (1224 - 288)
    assert held(DENSE, Placement(offload="layers", offload_share=0.25))[0] == 2 * (872 - 704 // 4)
