"""From samples of some layers to the whole model, and what ledger and time model say of the same parts, by hand."""

from typing import Any

import pytest

pytest.importorskip("torch")

from sparsecalc.core.components import Component
from sparsecalc.core.ops import Op, linear
from sparsecalc.core.workload import Workload
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.measure.machine.samples import Samples
from sparsecalc.measure.timing.layer_kinds import REST, SampledKind, StepPart, layer_kinds
from sparsecalc.measure.timing.ledger_figures import StepOps, held_bytes, moved_bytes, working_bytes
from sparsecalc.measure.timing.measurement_rows import MeasurementRows, peaks
from sparsecalc.measure.timing.predicted_step import PredictedStep
from sparsecalc.measure.timing.step_samples import DistinctExperts, StepSamples
from sparsecalc.model.spec import ModelSpec

MIXTRAL = load_model("mixtral-8x7b").spec
BF16 = precision_for(MIXTRAL, "bf16")
WORK = Workload.decode(100, 2)
H100 = device_model(load_accelerator("h100-sxm"))


def kind(label: str, count: int, measured: int) -> SampledKind:
    layer = MIXTRAL.layer_groups[0].layer
    return SampledKind(label=label, layer=layer, count=count, places=tuple(range(measured)))


DENSE, SPARSE = kind("dense", 3, 1), kind("moe", 10, 2)


def sampled() -> StepSamples:
    """Steps of 10 and 12 ms; in them 1 and 2 ms of one dense layer, 6 and 8 ms of two sparse ones, 1 ms of the head."""
    samples = StepSamples(WORK, [DENSE, SPARSE])
    step = Samples([0.010, 0.012], rejected=1)
    head = StepPart(component="lm_head")
    marked = [
        {StepPart(DENSE): 0.001, StepPart(SPARSE): 0.006, StepPart(SPARSE, "attention"): 0.002, head: 0.001},
        {StepPart(DENSE): 0.002, StepPart(SPARSE): 0.008, head: 0.001},
    ]
    samples.add(step, marked)
    return samples


def test_the_whole_model_is_the_rest_and_each_kind_by_its_count() -> None:
    """rest: 10 - 1 - 6 = 3 and 12 - 2 - 8 = 2 ms; model: 3 + 3 * 1 + 10 * 3 = 36 and 2 + 3 * 2 + 10 * 4 = 48 ms."""
    samples = sampled()
    assert samples.rest().seconds == pytest.approx([0.003, 0.002])
    assert samples.of(StepPart(SPARSE)).seconds == pytest.approx([0.003, 0.004]), "of one of the two layers"
    assert samples.of(StepPart(SPARSE, "attention")).seconds == pytest.approx([0.001, 0.0]), "not marked: no time"
    assert samples.of(StepPart(component="lm_head")).seconds == pytest.approx([0.001, 0.001])
    assert samples.model().seconds == pytest.approx([0.036, 0.048])
    assert samples.model().rejected == 1
    text = "decode, batch 2, context 100: 2.500 (rest) + 3 x 1.500 (dense) + 10 x 3.500 (moe) = 42.000 ms"
    assert samples.formula() == text


def test_the_rest_is_never_negative() -> None:
    samples = StepSamples(WORK, [DENSE])
    samples.add(Samples([0.001]), [{StepPart(DENSE): 0.0011}])
    assert samples.rest().seconds == [0.0]


def test_the_step_is_timed_by_the_first_pass_and_the_rest_by_that_of_the_layers() -> None:
    samples = StepSamples(WORK, [DENSE])
    samples.add(Samples([0.005]), [{}])
    samples.add(Samples([0.006]), [{StepPart(DENSE): 0.002}])
    samples.add(Samples([0.007]), [{StepPart(DENSE, "attention"): 0.001}])
    assert samples.step == Samples([0.005])
    assert samples.rest().seconds == pytest.approx([0.004])


@pytest.mark.parametrize(("measured", "expected", "reached"), [(6.0, 8.0, 0.75), (None, 8.0, 1.0), (6.0, None, 1.0)])
def test_experts_that_were_reached(measured: float | None, expected: float | None, reached: float) -> None:
    assert DistinctExperts(measured, expected).reached == reached


def test_kinds_with_one_label_are_numbered_and_stay_apart() -> None:
    """Two groups of the same layer: positions 0, 1 and 2 to 4; of those, 0, 2 and 3 are run."""
    group = MIXTRAL.layer_groups[0]
    groups = (group.but(positions=(0, 1)), group.but(positions=(2, 3, 4)))
    first, second = layer_kinds(MIXTRAL.but(layer_groups=groups), {0, 2, 3})
    assert (first.label, first.count, first.places) == ("gqa+moe", 2, (0,))
    assert (second.label, second.count, second.places) == ("gqa+moe #2", 3, (2, 3))
    assert first.group == second.group == "gqa+moe"
    assert StepPart(first) != StepPart(second)
    assert [StepPart(second).name, StepPart(second).label, StepPart(second, "attention").name] == [
        *("layer", "gqa+moe #2"),
        "attention",
    ]
    assert (REST.name, REST.label, StepPart(component="lm_head").name) == ("rest", "", "lm_head")


def split_in_two(spec: ModelSpec) -> ModelSpec:
    """The same layers as two groups, of 8 and of 24."""
    group = spec.layer_groups[0]
    assert group.count == 32
    return spec.but(layer_groups=(group.but(positions=tuple(range(8))), group.but(positions=tuple(range(8, 32)))))


def test_groups_with_one_label_share_its_kernels_by_their_layers() -> None:
    """One layer is predicted alike, whether its 32 equal layers are one group or two of 8 and 24."""
    (whole,) = layer_kinds(MIXTRAL, {0})
    one = PredictedStep(MIXTRAL, [whole], WORK, BF16, H100)
    spec = split_in_two(MIXTRAL)
    kinds = list(layer_kinds(spec, {0, 8}))
    two = PredictedStep(spec, kinds, WORK, BF16, H100)

    def seconds(predicted: PredictedStep, parts: dict[StepPart, float]) -> float:
        predicted_seconds = predicted.seconds(parts)
        assert predicted_seconds is not None
        return predicted_seconds.seconds

    layer = seconds(one, {StepPart(whole): 1.0})
    assert [seconds(two, {StepPart(kind): 1.0}) for kind in kinds] == pytest.approx([layer, layer])
    assert seconds(two, {StepPart(kind): float(kind.count) for kind in kinds}) == pytest.approx(32 * layer)


def op(component: Component, inputs: int, outputs: int, tokens: int, **more: Any) -> Op:
    return linear(component, component, inputs, outputs, tokens, **more)


def test_bytes_that_move() -> None:
    """bf16, 10 tokens through 4 x 6: weights 4 * 6 * 2 = 48, activations 10 * (4 + 6) * 2 = 200 bytes."""
    assert moved_bytes(op("attention", 4, 6, 10), BF16) == 248
    cached = Op(name="s", component="attention", kind="attention", cache_read_elements=30)
    assert moved_bytes(cached, BF16) == 60
    state = Op(name="s", component="state_space", kind="scan", state_elements=5, state_is_fp32=True)
    assert moved_bytes(state, BF16) == 20


def test_experts_are_read_as_they_were_reached() -> None:
    """8 experts of 4 x 6, half of them expected: 8 * 24 * 2 * 0.5 = 192 bytes; three quarters of that were reached."""
    experts = Op(
        name="e", component="routed_experts", kind="experts", rows=6, cols=4, matrices=8, num_experts=8, read_share=0.5
    )
    assert moved_bytes(experts, BF16) == 192
    assert moved_bytes(experts, BF16, DistinctExperts(3.0, 4.0).reached) == 144


def test_memory_of_a_step() -> None:
    """Hidden 4, 10 tokens; outside a head of 4 x 100 for 2 rows, in each of 3 layers an attention and an MLP.

    attention   4 x 4, 10 * (4 + 4) = 80 elements that move;   MLP  4 x 16 and 16 x 4, 2 * 10 * (4 + 16) = 400
    logits      2 * 100 elements;   residual  2 * 10 * 4 = 80
    working     max(80 + 400, 200) * 2 bytes = 960
    weights     (400 + 3 * (16 + 64 + 64)) * 2 = 1664 bytes;   cache  3 * 10 elements * 2 bytes = 60
    """
    head = op("lm_head", 4, 100, 2)
    cache = Op(name="c", component="attention", kind="vector", kv_elements=10)
    layer = (op("attention", 4, 4, 10), cache, op("dense_ffn", 4, 16, 10), op("dense_ffn", 16, 4, 10))
    ops = StepOps(outside=(head,), by_kind={DENSE: layer})
    work = Workload.prefill(5, 2)
    assert working_bytes(ops, BF16, work, 4) == 960
    assert held_bytes(ops, {DENSE: 3}, BF16, work, 4) == 1664 + 60 + 960


def test_parts_have_their_own_ops() -> None:
    attention, mlp, head = op("attention", 4, 4, 1), op("dense_ffn", 4, 4, 1), op("lm_head", 4, 9, 1)
    ops = StepOps(outside=(head,), by_kind={DENSE: (attention, mlp), SPARSE: (attention,)})
    assert ops.of(REST) == ops.of(StepPart(component="lm_head")) == (head,)
    assert ops.of(StepPart(DENSE)) == (attention, mlp)
    assert ops.of(StepPart(DENSE, "dense_ffn")) == (mlp,)
    assert ops.repeated({DENSE: 2, SPARSE: 5}) == [(head, 1), (attention, 2), (mlp, 2), (attention, 5)]


def test_rates_of_a_row() -> None:
    """The LM head of Mixtral for 2 tokens: 2 * 2 * 4096 * 32000 FLOPs, and its weights, inputs and outputs, in 0.5 ms.

    flops   524,288,000;   bytes   2 * (4096 * 32000 + 2 * (4096 + 32000)) = 262,288,384
    """
    (whole,) = layer_kinds(MIXTRAL, {0})
    samples = StepSamples(WORK, [whole])
    samples.add(Samples([0.002, 0.002]), [{StepPart(whole): 0.001, StepPart(component="lm_head"): 0.0005}] * 2)
    conditions = {"device": "cuda", "device_name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30, "dtype": "bf16"}
    rows = list(MeasurementRows(samples, MIXTRAL, BF16, H100, conditions).every_row())
    assert [(row.component, row.layers) for row in rows] == [
        *(("model", 32), ("step", 1), ("layer", 1)),
        *(("rest", 0), ("lm_head", 0)),
    ]
    head = rows[-1]
    assert (head.flops, head.bytes) == (524_288_000, 262_288_384)
    assert head.achieved_flops_per_second == pytest.approx(524_288_000 / 0.0005)
    assert head.share_of_bandwidth == pytest.approx(262_288_384 / 0.0005 / 3.35e12, rel=0.01)
    assert (head.tokens_per_second, rows[0].tokens_per_second) == (None, pytest.approx(2 / (0.001 + 32 * 0.001)))


def test_peaks_are_those_of_a_data_sheet() -> None:
    gpu = {"device": "cuda", "device_name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30}
    sheet = load_accelerator("h100-sxm")
    assert peaks(gpu | {"dtype": "bf16"}) == (sheet.peak_flops_per_second["bf16"], sheet.memory_bytes_per_second)
    assert peaks(gpu | {"dtype": "bf16", "device_name": "another"}) == (None, None)
    assert peaks({"device": "cpu"}) == (None, None)
