"""Constants on accelerators without kernels of their own: scaled by what products and copies were measured to reach."""

from math import isclose

import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import accelerator_ids, load_accelerator
from sparsecalc.device.levels import MEASURED, Level, level, measured
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model

TABLE = read_data("kernel_constants.json")
FITTED = {
    entry["accelerators"][0]: entry["kernels"]["gemm"]
    for entry in TABLE["devices"]
    if "gemm" in entry["kernels"] and "engine" not in entry
}


@pytest.mark.parametrize("name", [name for name in sorted(FITTED) if measured(load_accelerator(name), "compute")])
def test_products_of_a_device_left_out_are_found_from_what_was_measured(name: str) -> None:
    """As if nothing had been fitted on it, nor on its kin."""
    gpu = load_accelerator(name)
    found = level(gpu, TABLE["default"], TABLE["measured_share"], None)
    assert abs(found.compute / FITTED[name]["compute"] - 1) < 0.08
    if measured(gpu, "bandwidth"):
        assert abs(found.bandwidth / FITTED[name]["bandwidth"] - 1) < 0.05


def test_a_device_keeps_what_was_fitted_on_it() -> None:
    for name, fields in FITTED.items():
        products = device_model(load_accelerator(name)).of("gemm")
        assert isclose(products.compute, fields["compute"])
        assert isclose(products.bandwidth, fields["bandwidth"])


def test_nothing_is_faster_than_the_data_sheet() -> None:
    for name in accelerator_ids():
        gpu = load_accelerator(name)
        if not gpu.calibration:
            for constants in device_model(gpu).constants.values():
                assert 0 < constants.compute <= 1
                assert 0 < constants.bandwidth <= 1.05


def test_constants_move_with_the_level() -> None:
    """MI300X: 0.51 of the peak by the best product, 0.81 of the bandwidth by a copy; the default elsewhere."""
    share, default = TABLE["measured_share"], TABLE["default"]["kernels"]
    mi300x = device_model(load_accelerator("mi300x"))
    assert isclose(mi300x.of("gemm").compute, 0.51 * share["compute"])
    experts = default["experts"]["compute"] * 0.51 * share["compute"] / default["gemm"]["compute"]
    assert isclose(mi300x.of("experts").compute, experts)
    reading = default["attention_decode"]["bandwidth"] * 0.81 * share["bandwidth"] / default["gemm"]["bandwidth"]
    assert isclose(mi300x.of("attention_decode").bandwidth, reading)
    assert mi300x.of("gemm").spread > default["gemm"]["spread"]
    kept = device_model(load_accelerator("h100-sxm")).of("gemm", "fp8")
    assert isclose(kept.compute, default["gemm.fp8"]["compute"])
    assert Level(compute=1, bandwidth=1).scaled(kept, Level(compute=0.1, bandwidth=0.1)).compute == 1


def test_siblings_are_known_and_measured() -> None:
    for name, sibling in TABLE["measured_as"].items():
        assert load_accelerator(name).arch.split()[0] == load_accelerator(sibling).arch.split()[0]
        assert any(measured(load_accelerator(sibling), side) for side in MEASURED)


@pytest.mark.parametrize(
    ("name", "share"), [("rtx-4090", 0.80), ("l4", 0.78), ("rtx-6000-ada", 0.78), ("l40s", 0.70), ("rtx-4080", 0.80)]
)
def test_decode_on_ada_reads_at_the_rate_of_its_memory(name: str, share: float) -> None:
    """A step of one sequence in 16 bits, less the engine's own time, against the weights' bytes over the bandwidth."""
    spec, gpu = load_model("llama-3-8b").spec, load_accelerator(name)
    device, work, precision = device_model(gpu), Workload.decode(500, logits="last"), precision_for(spec, "bf16")
    step = step_time(spec, work, precision, device)
    seconds = step.seconds - device.engine.step_seconds
    least = spec.ops(work).sum(precision.read_weight_bytes) / gpu.memory_bytes_per_second
    assert share < least / seconds < 0.95


def test_weight_only_experts_read_weights_as_they_are_stored() -> None:
    """gpt-oss-20b under SGLang on H100 with 32 sequences: 7.9 ms were measured."""
    spec, device = load_model("gpt-oss-20b").spec, device_model(load_accelerator("h100-sxm"), "sglang")
    step = step_time(spec, Workload.decode(1500, 32), precision_for(spec), device)
    assert 0.005 < step.seconds < 0.0095
    for engine in ("vllm", "sglang", "trtllm"):
        for name in ("h100-sxm", "b200-sxm"):
            assert device_model(load_accelerator(name), engine).of("experts", "weight-only").bandwidth > 0.7
