"""Properties of the time model: bounds, monotony, parts that add up, arrays like numbers, and the losing window."""

from itertools import pairwise
from math import isclose
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_properties import mixtrals, read

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.decide import step_grid as step_grids
from sparsecalc.decide.step_grid import step_grid
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_ids
from sparsecalc.device.find import accelerator_ids, load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.benchmarked_kernels import Operands, experts, gemm
from sparsecalc.estimate.kernel import Kernel, Setting
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.serving import chunks, tpot_seconds
from sparsecalc.estimate.step import step_time
from sparsecalc.estimate.timing import kernel_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import format_ids, number_format

MODELS = ["mixtral-8x7b", "deepseek-v3", "qwen3-next-80b-a3b", "gpt-oss-20b", "deepseek-v4-pro", "switch-base-8"]
specs = st.one_of(mixtrals().map(read), st.sampled_from(MODELS).map(lambda name: load_model(name).spec))


def devices_of(engines: list[str]) -> st.SearchStrategy[DeviceModel]:
    gpus = st.sampled_from(accelerator_ids())
    return st.builds(lambda gpu, engine: device_model(load_accelerator(gpu), engine), gpus, st.sampled_from(engines))


devices = devices_of(engine_ids())
formats = st.sampled_from(format_ids())
batches, contexts = st.integers(1, 3000), st.integers(1, 200_000)
phases = st.sampled_from([Workload.decode, Workload.prefill])
plans = st.sampled_from(
    [Placement(), Placement(tp=2), Placement(pp=3), Placement(dp=4), Placement(tp=2, pp=2, dp=2, ep=1)]
)
H100 = device_model(load_accelerator("h100-sxm"), "vllm")
SLACK = 1 + 1e-9


def setting(spec: ModelSpec, dtype: str, device: DeviceModel, plan: Placement) -> Setting:
    return Setting(precision_for(spec, dtype), plan, device.peak_flops_per_second, device.accelerator)


def launched(spec: ModelSpec, work: Workload, dtype: str, device: DeviceModel, plan: Placement) -> list[Kernel]:
    rows = spec.ops(work)
    return kernels([rows], [work], rows, setting(spec, dtype, device, plan))


# --- bounds ---------------------------------------------------------------------------------------------------------


@given(specs, devices, formats, phases, batches, contexts)
@settings(max_examples=60)
def test_no_kernel_beats_the_datasheet(
    spec: ModelSpec, device: DeviceModel, dtype: str, phase: Any, batch: int, context: int
) -> None:
    for kernel in launched(spec, phase(context, batch), dtype, device, Placement()):
        seconds = kernel_time(kernel, device).seconds / kernel.layers
        moved = kernel.weight_bytes + kernel.cache_bytes + kernel.activation_bytes
        if kernel.dtype:
            assert seconds * SLACK >= kernel.flops / device.peak(kernel.dtype), kernel.name
        assert seconds * SLACK >= moved / device.memory_bytes_per_second, kernel.name


@given(specs, devices, formats, phases, plans, batches, contexts)
@settings(max_examples=60)
def test_band_and_sums(
    spec: ModelSpec, device: DeviceModel, dtype: str, phase: Any, plan: Placement, batch: int, context: int
) -> None:
    step = step_time(spec, phase(context, batch), precision_for(spec, dtype), device, plan)
    assert 0 < step.seconds_low <= step.seconds <= step.seconds_high
    assert isclose(sum(time.seconds for time in step.times), step.seconds, rel_tol=1e-9)
    assert isclose(sum(step.by_bound().values()), step.seconds, rel_tol=1e-9)
    assert isclose(sum(step.by_component().values()), step.seconds, rel_tol=1e-9)
    for time in step.times:
        assert all(seconds >= 0 for seconds in time.parts.values()), time.kernel.name
        assert isclose(sum(time.parts.values()), time.seconds, rel_tol=1e-9), time.kernel.name


@pytest.mark.parametrize("gpu", accelerator_ids())
def test_every_accelerator_has_seconds(gpu: str) -> None:
    """Also one that lacks bf16, or all formats below 16 bits."""
    spec, device = load_model("mixtral-8x7b").spec, device_model(load_accelerator(gpu))
    for dtype in ("fp32", "bf16", "fp8", "int4"):
        assert step_time(spec, Workload.decode(100), precision_for(spec, dtype), device).seconds > 0


def test_an_encoder_rests_in_decode() -> None:
    spec = load_model("switch-base-8").spec
    prompt, step = (
        launched(spec, work(100, 4), "bf16", H100, Placement()) for work in (Workload.prefill, Workload.decode)
    )
    assert any(kernel.group.startswith("encoder") for kernel in prompt)
    assert not any(kernel.group.startswith("encoder") for kernel in step)


# --- monotony -------------------------------------------------------------------------------------------------------


@given(specs, devices, formats, phases, plans, st.lists(batches, min_size=2, max_size=6), contexts)
@settings(max_examples=40)
def test_a_larger_batch_never_takes_less(
    spec: ModelSpec, device: DeviceModel, dtype: str, phase: Any, plan: Placement, sizes: list[int], context: int
) -> None:
    precision = precision_for(spec, dtype)
    found = [step_time(spec, phase(context, size), precision, device, plan).seconds for size in sorted(sizes)]
    assert all(a <= b * SLACK for a, b in pairwise(found))


@given(specs, devices, formats, phases, plans, batches, st.lists(contexts, min_size=2, max_size=6))
@settings(max_examples=40)
def test_a_longer_context_never_takes_less(
    spec: ModelSpec, device: DeviceModel, dtype: str, phase: Any, plan: Placement, batch: int, sizes: list[int]
) -> None:
    precision = precision_for(spec, dtype)
    found = [step_time(spec, phase(size, batch), precision, device, plan).seconds for size in sorted(sizes)]
    assert all(a <= b * SLACK for a, b in pairwise(found))


@given(specs, devices, phases, batches, contexts)
@settings(max_examples=40)
def test_fewer_bytes_per_weight_never_take_more(
    spec: ModelSpec, device: DeviceModel, phase: Any, batch: int, context: int
) -> None:
    """Of formats that are widened and multiplied in 16 bits alike; each other form has constants of its own."""
    rows = spec.ops(Workload())
    widened = [
        dtype
        for dtype in format_ids()
        if {setting(spec, dtype, device, Placement()).form(op)[0] for op in rows if op.matrices} == {"weight-only"}
    ]
    work = phase(context, batch)
    held = {dtype: rows.sum(precision_for(spec, dtype).used_weight_bytes) for dtype in widened}
    seconds = [
        step_time(spec, work, precision_for(spec, dtype), device).seconds
        for dtype in sorted(held, key=held.__getitem__)
    ]
    assert all(a <= b * SLACK for a, b in pairwise(seconds))


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3", "llama-2-7b"])
def test_decode_of_a_small_batch_gains_from_every_format(name: str) -> None:
    spec = load_model(name).spec
    found = [
        step_time(spec, Workload.decode(2048, 4), precision_for(spec, dtype), H100).seconds
        for dtype in ("bf16", "fp8", "int4")
    ]
    assert found == sorted(found, reverse=True)


# --- placement ------------------------------------------------------------------------------------------------------


@given(specs, formats, phases, batches, contexts, st.integers(2, 4))
@settings(max_examples=30)
def test_stages_run_the_kernels_of_one_device(
    spec: ModelSpec, dtype: str, phase: Any, batch: int, context: int, stages: int
) -> None:
    """pp stages pass a batch as pp parts: the step is that of one part, and the hand-overs."""
    precision = precision_for(spec, dtype)
    whole = step_time(spec, phase(context, batch), precision, H100)
    split = step_time(spec, phase(context, batch * stages), precision, H100, Placement(pp=stages))
    handed = [time for time in split.times if "network" in time.parts]
    assert [time.kernel for time in split.times if time not in handed] == [time.kernel for time in whole.times]
    assert isclose(split.seconds, whole.seconds + sum(time.seconds for time in handed), rel_tol=1e-9)


@given(mixtrals(), formats, phases, batches, contexts, st.sampled_from([2, 4, 8]))
@settings(max_examples=40)
def test_devices_share_the_work_of_one(
    config: dict[str, Any], dtype: str, phase: Any, batch: int, context: int, tp: int
) -> None:
    """FLOPs, weights and cache of tp devices add up to those of one; the router is on all of them."""
    sizes = ("hidden_size", "num_attention_heads", "num_key_value_heads")
    spec, work = read({**config, **{name: tp * config[name] for name in sizes}}), phase(context, batch)
    alone = launched(spec, work, dtype, H100, Placement())
    shared = launched(spec, work, dtype, H100, Placement(tp=tp))
    for one, part in zip(alone, shared, strict=True):
        copies = 1 if one.component == "router" else tp
        for column in ("flops", "weight_bytes", "cache_bytes"):
            assert isclose(getattr(part, column) * copies, getattr(one, column), rel_tol=1e-9), one.name


@given(mixtrals(), st.integers(2, 16), st.integers(1, 16))
@settings(max_examples=30)
def test_ranks_share_the_experts_of_one_device(config: dict[str, Any], ranks: int, each: int) -> None:
    """With so many tokens that every expert is reached, ranks of equal size hold each of them once."""
    spec = read({**config, "num_local_experts": ranks * each, "num_experts_per_tok": 1})
    work = Workload.decode(1, 10**6)
    alone, shared = (
        next(kernel for kernel in launched(spec, work, "bf16", H100, plan) if kernel.family == "experts")
        for plan in (Placement(tp=ranks), Placement(tp=ranks, ep=ranks))
    )
    assert shared.weight_bytes == pytest.approx(alone.weight_bytes, rel=1e-6)
    assert alone.flops <= shared.flops * SLACK
    assert shared.flops == pytest.approx(alone.flops, rel=0.02)


# --- arrays ---------------------------------------------------------------------------------------------------------

EXPERT_PLANS = [Placement(tp=2, ep=2), Placement(tp=2, dp=4, ep=8)]


@given(specs, devices, formats, phases, plans, st.lists(batches, min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_arrays_are_many_numbers(
    spec: ModelSpec, device: DeviceModel, dtype: str, phase: Any, plan: Placement, sizes: list[int], data: Any
) -> None:
    lengths = data.draw(st.lists(contexts, min_size=1, max_size=4))
    precision = precision_for(spec, dtype)
    many = step_time(spec, phase(np.array([lengths], float), np.array([sizes], float).T), precision, device, plan)
    bounds = np.broadcast_to(many.bound, many.seconds.shape)
    for row, batch in enumerate(sizes):
        for column, context in enumerate(lengths):
            one = step_time(spec, phase(context, batch), precision, device, plan)
            for name in ("seconds", "seconds_low", "seconds_high"):
                assert isclose(getattr(many, name)[row, column], getattr(one, name), rel_tol=1e-9), (batch, context)
            assert bounds[row, column] == one.bound


@pytest.mark.parametrize("plan", EXPERT_PLANS, ids=lambda plan: plan.name)
def test_arrays_under_expert_parallelism(plan: Placement) -> None:
    spec = load_model("mixtral-8x7b").spec
    precision, sizes = precision_for(spec, "fp8"), [1, 7, 64, 1000]
    many = step_time(spec, Workload.decode(4096, np.array(sizes, float)), precision, H100, plan)
    alone = [step_time(spec, Workload.decode(4096, size), precision, H100, plan).seconds for size in sizes]
    assert np.allclose(many.seconds, alone, rtol=1e-9)


@pytest.mark.parametrize("name", ["mixtral-8x7b+2:4", "mixtral-8x7b+unstructured=0.7", "llama-2-7b+mod=0.5"])
def test_arrays_of_sparse_models(name: str) -> None:
    found = step_grid(name, [1, 3, 700], [10, 5000], ["h100-sxm"])
    for batch in (1, 3, 700):
        row = step_grid(name, [batch], [10, 5000], ["h100-sxm"]).seconds
        assert np.allclose(found.seconds[..., [1, 3, 700].index(batch), :], row[..., 0, :], rtol=1e-9)


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3"])
def test_a_closed_loop_of_arrays(name: str) -> None:
    """Prompts of one and of many chunks side by side."""
    spec = load_model(name).spec
    precision, prompts, users = precision_for(spec, "fp8"), [1, 5000, 20_000], [1, 2, 64]

    def tpot(prompt: Any, concurrency: Any) -> Any:
        requests = Requests(prompt_len=prompt, output_len=128, concurrency=concurrency)
        step = lambda works: step_time(spec, works, precision, H100)  # noqa: E731
        return tpot_seconds(requests, chunks(prompt, 8192), step, Workload.decode).seconds

    many = tpot(np.array([prompts], float), np.array([users], float).T)
    assert np.allclose(many, [[tpot(prompt, user) for prompt in prompts] for user in users], rtol=1e-9)


def test_a_grid_of_steps_is_its_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_grids, "POINTS_AT_ONCE", 3)
    batches, contexts = [1, 20, 300], [1, 900, 33_000, 70_000]
    found = step_grid("mixtral-8x7b", batches, contexts, ["h100-sxm", "a100-80gb-sxm"], [1, 8], ["bf16", "int4"])
    spec = load_model("mixtral-8x7b").spec
    assert found.seconds.shape == (2, 2, 2, 3, 4)
    assert (found.seconds_low <= found.seconds).all()
    assert (found.seconds <= found.seconds_high).all()
    for place in np.ndindex(found.seconds.shape):
        gpu, count, dtype, batch, context = place
        step = step_time(
            spec,
            Workload.decode(contexts[context], batches[batch]),
            precision_for(spec, found.dtypes[dtype]),
            device_model(load_accelerator(found.gpus[gpu])),
            Placement(tp=found.num_gpus[count]),
        )
        assert isclose(found.seconds[place], step.seconds, rel_tol=1e-9)


@pytest.mark.parametrize("sizes", [([0], [1]), ([1], [-5]), ([1, 2**31], [1]), ([1], [float("nan")])])
def test_a_grid_of_steps_refuses_impossible_sizes(sizes: Any) -> None:
    with pytest.raises(InputError, match="is"):
        step_grid("mixtral-8x7b", *sizes, ["h100-sxm"])


# --- the losing window ----------------------------------------------------------------------------------------------

DENSE_INTERMEDIATE_SIZE = 51_200
"""Of a dense SwiGLU that is as good as Mixtral's layer, by the square root of total and active parameters."""

LAYERS = {"mixtral": (4096, 14336, 8, 2), "qwen3-235b": (4096, 1536, 128, 8)}
"""hidden_size, moe_intermediate_size, num_experts, num_experts_per_tok."""

MEASURED = {
    "mixtral": {1: 0.57, 2: 1.11, 4: 2.1, 16: 2.1, 64: 2.1, 128: 2.1, 512: 1.28, 1024: 0.74, 8192: 0.51},
    "qwen3-235b": {1: 0.28, 4: 0.94, 8: 1.79, 16: 3.5, 32: 3.5, 64: 3.5, 512: 1.96, 1024: 1.08, 8192: 0.30},
}
"""Seconds of the layer over seconds of the dense one by tokens: H100, TensorRT-LLM 1.3.0rc20, bf16, balanced routing,
which reaches as many experts as it can. Source: the kernels that ai-dynamo/aiconfigurator@095f58a5 commits."""

WINDOWS = {"mixtral": ((1, 4), (512, 1024)), "qwen3-235b": ((4, 8), (1000, 1250))}
"""Tokens between which the layer begins to lose, and ends to."""


BF16 = Operands(form="bf16", dtype="bf16", stored=number_format("bf16"))


def ratio(name: str, tokens: Any) -> Any:
    """Seconds of a layer of experts over those of the dense layer: two products and the activation between them."""
    hidden, inner, count, k = LAYERS[name]
    device = device_model(load_accelerator("h100-sxm"), "trtllm")
    pairs, wide = tokens * k, DENSE_INTERMEDIATE_SIZE
    sparse = experts(tokens, hidden, inner, k, pairs, np.minimum(pairs, count), BF16)
    dense = [
        gemm(tokens, 2 * wide, hidden, BF16),
        Kernel(name="activation", component="other", family="vector", activation_bytes=2 * 3 * tokens * wide),
        gemm(tokens, hidden, wide, BF16),
    ]
    return kernel_time(sparse, device).seconds / sum(kernel_time(kernel, device).seconds for kernel in dense)


@pytest.mark.parametrize("name", LAYERS)
def test_the_losing_window(name: str) -> None:
    tokens = np.array(list(MEASURED[name]), float)
    measured, predicted = np.array(list(MEASURED[name].values())), ratio(name, tokens)
    assert (np.abs(np.log(predicted / measured)) < np.log(1.25)).all(), dict(zip(tokens, predicted, strict=True))
    clear = np.abs(np.log(measured)) > np.log(1.15)
    assert ((predicted > 1) == (measured > 1))[clear].all()

    every = np.arange(1, 8193.0)
    losing = every[ratio(name, every) > 1]
    (earliest, latest), (first, last) = WINDOWS[name]
    assert earliest <= losing[0] <= latest
    assert first <= losing[-1] <= last
    assert losing.size == losing[-1] - losing[0] + 1
