"""The fit of a device's constants: known constants come back from the seconds that they make; no test judges a time."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.assemble import blank_device, calibrated
from sparsecalc.device.time_constants import DeviceModel, Engine, KernelConstants
from sparsecalc.estimate.benchmarked_kernels import Operands, decode_attention, experts, gemm
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.step import step_time
from sparsecalc.estimate.timing import kernel_time, transfer_time
from sparsecalc.library.formats import precision_for
from sparsecalc.measure.calibrate.device_fit import FEWEST_ROWS, fit, fit_collectives
from sparsecalc.measure.calibrate.eager_benchmarks import MODEL_TYPES, PAST, tiny_spec
from sparsecalc.measure.calibrate.engine_fit import fit_engine
from sparsecalc.measure.calibrate.measured_peaks import with_measured_peaks
from sparsecalc.read.number_formats import number_format

BF16 = Operands(form="bf16", dtype="bf16", stored=number_format("bf16"))
PEAK, BANDWIDTH = 2e11, 3e10


def a_cpu(**classes: dict[str, float]) -> DeviceModel:
    """A CPU with other constants than the built-in ones."""
    blank = blank_device("cpu", matrix_unit_rows=1).but(
        peak_flops_per_second={"bf16": PEAK}, memory_bytes_per_second=BANDWIDTH
    )
    changed = {name: blank.of(name).but(**fields) for name, fields in classes.items()}
    return blank.but(constants={**blank.constants, **changed})


def seconds(kernel: Kernel, device: DeviceModel) -> float:
    return float(kernel_time(kernel, device).seconds)


def gemm_rows(device: DeviceModel) -> list[dict[str, Any]]:
    rows = []
    for m, n, k in product((1, 2, 8, 32, 256), (512, 4096), (1024, 8192)):
        took = seconds(gemm(m, n, k, BF16), device)
        rows.append({"op": "gemm", "m": m, "n": n, "k": k, "dtype": "bf16", "seconds": took})
    return rows


def expert_rows(device: DeviceModel) -> list[dict[str, Any]]:
    rows = []
    for tokens, (hidden, inner, count, k) in product(
        (1, 4, 16, 64, 256), ((2048, 768, 128, 8), (4096, 14336, 8, 2), (2048, 1024, 64, 8))
    ):
        distinct = count * (1 - (1 - k / count) ** tokens)
        kernel = experts(tokens, hidden, inner, k, tokens * k, distinct, BF16)
        row = {"op": "moe", "tokens": tokens, "hidden_size": hidden, "moe_intermediate_size": inner, "dtype": "bf16"}
        row |= {"num_experts_per_tok": k, "distinct": distinct, "seconds": seconds(kernel, device)}
        rows.append(row)
    return rows


def test_known_constants_of_products_come_back() -> None:
    truth = a_cpu(gemm={"compute": 0.95, "bandwidth": 0.4, "half_length": 12.0, "power": 2.0, "overhead_seconds": 4e-6})
    found, residuals = fit(gemm_rows(truth), a_cpu())
    assert residuals["gemm.bf16"].median_error < 0.02
    assert residuals["gemm.bf16"].prior_median_error > 0.1
    assert found["gemm.bf16"].bandwidth == pytest.approx(0.4, rel=0.1)
    assert found["gemm.bf16"].half_length == pytest.approx(12, rel=0.4)
    assert found["gemm.bf16"].compute == pytest.approx(0.95, rel=0.1)


def test_a_loop_over_experts_has_seconds_per_expert() -> None:
    truth = a_cpu(experts={"compute": 0.9, "bandwidth": 0.45, "expert_seconds": 2e-4, "half_length": 5.0})
    found, residuals = fit(expert_rows(truth), a_cpu())
    assert residuals["experts.bf16"].median_error < 0.03
    assert found["experts.bf16"].expert_seconds == pytest.approx(2e-4, rel=0.3)


def test_decode_attention_and_elementwise_launches() -> None:
    truth = a_cpu(attention_decode={"compute": 0.011}, vector={"bandwidth": 0.5, "overhead_seconds": 1e-6})
    rows: list[dict[str, Any]] = []
    for batch, context, heads in product((1, 8), (512, 4096), (16, 32)):
        kernel = decode_attention(batch, context, heads, 8, 64, BF16)
        row = {"op": "attention_decode", "batch_size": batch, "context_len": context, "num_attention_heads": heads}
        rows.append(
            row | {"num_key_value_heads": 8, "head_dim": 64, "dtype": "bf16", "seconds": seconds(kernel, truth)}
        )
    for size, launches in product((1e3, 1e5, 1e7), (2, 6)):
        kernel = Kernel(
            name="", component="other", family="vector", dtype="bf16", activation_bytes=size, launches=launches
        )
        took = seconds(kernel, truth)
        rows.append({"op": "elementwise", "bytes": size, "kernels": launches, "dtype": "bf16", "seconds": took})
    found, residuals = fit(rows, a_cpu())
    assert max(residual.median_error for residual in residuals.values()) < 0.03
    assert found["attention_decode.bf16"].compute == pytest.approx(0.011, rel=0.1)
    assert found["vector.bf16"].overhead_seconds == pytest.approx(1e-6, rel=0.15)


def test_few_rows_keep_the_prior() -> None:
    assert fit(gemm_rows(a_cpu())[: FEWEST_ROWS - 1], a_cpu()) == ({}, {})
    assert fit_collectives([], a_cpu()) == ({}, {})


def test_collectives_come_back_and_make_a_link() -> None:
    links = a_cpu().but(link_bytes_per_second=2e9, domain_size=4)
    start = links.collectives["all_reduce"]
    truth = links.but(
        collectives={
            **links.collectives,
            "all_reduce": start.but(overhead_seconds=3e-5, per_device_seconds=5e-6, bandwidth=0.8, alone_seconds=0.0),
        }
    )
    rows = [
        {
            "op": "all_reduce",
            "ranks": ranks,
            "bytes": size,
            "seconds": transfer_time("", "all_reduce", 1, ranks, size, truth).seconds,
        }
        for ranks, size in product((2, 4), (1e3, 1e5, 1e7, 1e9))
    ]
    found, residuals = fit_collectives(rows, links)
    assert residuals["all_reduce"].median_error < 0.02
    assert found["all_reduce"].bandwidth == pytest.approx(0.8, rel=0.05)
    assert found["all_reduce"].overhead_seconds == pytest.approx(3e-5, rel=0.1)
    assert found["all_reduce"].per_device_seconds == pytest.approx(5e-6, rel=0.2)
    measured = with_measured_peaks(a_cpu(), rows)
    assert measured.domain_size == 4
    assert 0.5e9 < measured.link_bytes_per_second < 2e9


def eager_rows(device: DeviceModel) -> list[dict[str, Any]]:
    rows = []
    for model_type, what in product(MODEL_TYPES, ("layer", "rest")):
        spec = tiny_spec(model_type)
        step = step_time(spec, Workload.decode(PAST + 1), precision_for(spec, "bf16"), device)
        label = spec.layer_groups[0].layer.label
        took = sum(time.seconds for time in step.times if (time.kernel.group == label) == (what == "layer"))
        rows.append({"op": "eager", "model_type": model_type, "what": what, "dtype": "bf16", "seconds": took})
    return rows


def test_what_modules_add_comes_back() -> None:
    engine = Engine(
        id="transformers", name="", step_seconds=3e-4, sequence_seconds=0.0, kernel_seconds=1e-4, vector_factor=2.0
    )
    device = a_cpu()
    rate = device.of("vector").bandwidth * BANDWIDTH
    row = {"op": "elementwise", "tokens": 512, "width": 4096, "seconds": 2.0 * 3 * 2 * 512 * 4096 / rate}
    found = fit_engine([*eager_rows(device.but(engine=engine)), row], device)
    assert found is not None
    assert found.vector_factor == pytest.approx(2.0)
    assert found.kernel_seconds == pytest.approx(1e-4, rel=1e-6)
    assert found.step_seconds == pytest.approx(3e-4, rel=1e-6)
    assert fit_engine([row], device) is None


def test_tiles_are_padded_by_matrix_units_only() -> None:
    kernel = experts(4, 2048, 768, 8, 32, 27.0, BF16)
    cpu = a_cpu()
    assert kernel_time(kernel, cpu.but(matrix_unit_rows=8)).seconds > kernel_time(kernel, cpu).seconds
    assert kernel.flops == 6 * 2048 * 768 * 32


def test_an_engine_adds_to_kernels_and_the_parts_still_add_up() -> None:
    device = a_cpu()
    slow = device.but(engine=device.engine.but(kernel_seconds=1e-4, vector_factor=3.0))
    vector = Kernel(
        name="", component="norm", family="vector", dtype="bf16", activation_bytes=np.array([1e6]), launches=2
    )
    for kernel in (vector, gemm(4, 512, 512, BF16)):
        before, after = kernel_time(kernel, device), kernel_time(kernel, slow)
        factor = 3.0 if kernel is vector else 1.0
        expected = (before.seconds - before.parts["overhead"]) * factor + before.parts["overhead"]
        assert after.seconds == pytest.approx(expected + kernel.launches * 1e-4)
        assert sum(after.parts.values()) == pytest.approx(after.seconds)


def test_formats_that_were_not_measured_take_their_familys_constants() -> None:
    fitted = KernelConstants(compute=0.9, bandwidth=0.3, overhead_seconds=1e-6, origin="fitted").to_dict()
    constants = {"peak_flops_per_second": {"bf16": PEAK, "fp32": PEAK / 2}, "memory_bytes_per_second": BANDWIDTH}
    constants |= {"kernels": {"gemm.bf16": fitted}, "matrix_unit_rows": 1, "link_bytes_per_second": 7e9}
    model = calibrated("mine", constants)
    assert model.of("gemm", "fp32").bandwidth == 0.3
    assert (model.matrix_unit_rows, model.link_bytes_per_second) == (1, 7e9)
    spec = tiny_spec("llama")
    precision: Precision = precision_for(spec, "fp32")
    assert step_time(spec, Workload.decode(8), precision, model).seconds > 0
