"""The least squares behind `calibrate` and the tools that write constants, and the peaks of a device, by hand."""

from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from sparsecalc.device.assemble import blank_device
from sparsecalc.device.time_constants import Collective, DeviceModel
from sparsecalc.estimate.benchmarked_kernels import Operands, benchmarked_kernels
from sparsecalc.measure.calibrate.constants_fit import KernelFit, bounds_of, collective_errors, least_error
from sparsecalc.measure.calibrate.device_fit import _near, _residual, _spread
from sparsecalc.measure.calibrate.measured_peaks import dtype_of, with_measured_peaks
from sparsecalc.read.number_formats import number_format

WIDE = (np.array([-9.0]), np.array([9.0]))


def device(**fields: Any) -> DeviceModel:
    """1e12 FLOP/s and 1e11 bytes/s, reached in full; kernels cost 1e-5 s beside."""
    blank = blank_device("cpu", matrix_unit_rows=1).but(
        peak_flops_per_second={"bf16": 1e12}, memory_bytes_per_second=1e11, **fields
    )
    plain = blank.of("gemm").but(
        compute=1.0, bandwidth=1.0, overhead_seconds=1e-5, power=1.0, half_length=0.0, alone_seconds=0.0
    )
    return blank.but(constants={"gemm": plain})


def test_the_best_x_without_a_center() -> None:
    """Errors x - 1 and x - 3: both equally far at 2."""
    best = least_error(lambda x: np.array([x[0] - 1, x[0] - 3]), np.array([0.0]), WIDE)
    assert best[0] == pytest.approx(2.0, abs=1e-4)


def test_one_that_is_far_off_pulls_by_its_size_alone() -> None:
    """x, x and x - 8: one outlier moves the best x little; the mean would be 2.7."""
    best = least_error(lambda x: np.array([x[0], x[0], x[0] - 8]), np.array([1.0]), WIDE)
    assert 0 < best[0] < 0.05


def test_a_center_draws() -> None:
    """rho grows alike for x - 1 and for 1 * (x - 0): halfway. A pull of 0 does nothing."""
    for pull, expected in ((1.0, 0.5), (0.0, 1.0)):
        best = least_error(lambda x: x - 1, np.array([0.2]), WIDE, center=np.zeros(1), pull=pull)
        assert best[0] == pytest.approx(expected, abs=1e-3)


def test_bounds_are_logarithms() -> None:
    low, high = bounds_of({"compute": (0.1, 1.0), "power": (1.0, 8.0)})
    assert low.tolist() == pytest.approx([log(0.1), 0.0])
    assert high.tolist() == pytest.approx([0.0, log(8)])


def test_errors_of_a_kernel() -> None:
    """1 x 1000 x 1000 in bf16: 2e6 FLOPs take 2 us, 2,000,000 + 4,000 bytes 20.04 us, the kernel itself 10 us.

    Together 32.04 us. Measured 32.04 us and twice that: ln 1 and ln 0.5.
    """
    operands = Operands(form="bf16", dtype="bf16", stored=number_format("bf16"))
    rows = [{"m": 1, "n": 1000, "k": 1000}] * 2
    kernel = benchmarked_kernels("gemm", rows, operands)
    limits = {"compute": (0.01, 10.0), "bandwidth": (0.01, 10.0), "overhead_seconds": (1e-8, 1e-2)}
    fit = KernelFit(kernel, np.array([32.04e-6, 64.08e-6]), device(), limits)
    assert np.exp(fit.begin).tolist() == pytest.approx([1.0, 1.0, 1e-5])
    assert fit.errors(fit.begin).tolist() == pytest.approx([0.0, log(0.5)], abs=1e-9)
    changed = fit.constants(fit.begin + np.log([0.5, 1.0, 2.0]))
    assert (changed.compute, changed.bandwidth, changed.overhead_seconds) == pytest.approx((0.5, 1.0, 2e-5))
    slower = fit.errors(fit.begin + np.log([0.5, 1.0, 2.0]))  # 4 + 20.04 + 20 us
    assert slower[0] == pytest.approx(log(44.04 / 32.04))


def test_a_constant_begins_within_its_limits_or_where_it_is_told() -> None:
    operands = Operands(form="bf16", dtype="bf16", stored=number_format("bf16"))
    kernel = benchmarked_kernels("gemm", [{"m": 1, "n": 8, "k": 8}], operands)
    limits = {"compute": (0.1, 0.8), "half_length": (0.001, 100.0)}
    fit = KernelFit(kernel, np.ones(1), device(), limits, first={"half_length": 2.0}, margin=0.01)
    assert fit.begin.tolist() == pytest.approx([log(0.8) - 0.01, log(2.0)])


def test_errors_of_a_collective() -> None:
    """All-reduce: t0 + t1 (N - 1) + 2 (N - 1) / N * bytes / (e link), with 3 us, 1 us, e = 0.5, link 2e9, 1e6 bytes.

    2 ranks: 3 + 1 + 1000 us; 4 ranks: 3 + 3 + 1500 us, which were measured in half the time.
    """
    constants = Collective(overhead_seconds=3e-6, per_device_seconds=1e-6, bandwidth=0.5, power=1.0)
    rows = {"ranks": np.array([2.0, 4.0]), "bytes": np.array([1e6, 1e6]), "seconds": np.array([1004e-6, 753e-6])}
    errors = collective_errors("all_reduce", rows, device(link_bytes_per_second=2e9, domain_size=8), constants)
    assert errors.tolist() == pytest.approx([0.0, log(2)], abs=1e-9)


def test_rows_off_by_a_factor_of_two_are_left_out_while_enough_stay() -> None:
    errors = np.array([0.0] * 6 + [log(2) + 0.01, -log(2) - 0.01])
    assert _near(errors).tolist() == [True] * 6 + [False] * 2
    assert _near(errors[1:]).all(), "5 are too few"


def test_a_spread_is_the_median_times_1_48_within_limits() -> None:
    assert _spread(np.array([0.1, -0.1, 0.3])) == pytest.approx(0.14826)
    assert _spread(np.zeros(3)) == 0.03
    assert _spread(np.array([5.0])) == 0.6


def test_a_residual_tells_errors_in_percent_and_factors() -> None:
    """Predictions 10 %, 20 % and 50 % too high, before the fit all by a factor of 2; a constant grew by sqrt(2)."""
    after, before = np.log([1.1, 1.2, 1.5]), np.log([2.0, 2.0, 2.0])
    residual = _residual(after, before, ["compute"], np.array([log(2) / 2]))
    assert (residual.rows, residual.left_out) == (3, 0)
    assert (residual.median_error, residual.prior_median_error) == pytest.approx((0.2, 1.0))
    assert residual.p90_error == pytest.approx(0.2 + 0.8 * 0.3)
    assert residual.moved == {"compute": pytest.approx(sqrt(2))}


def test_measured_peaks() -> None:
    """Products: 2 * 10 * 20 * 30 = 12,000 FLOPs in 1 us, 12 GFLOP/s, and half of it. A copy of 1000 bytes in 1 us reads
    and writes 2 GB/s. Among 4 ranks, 3/4 of 8000 bytes leave one in 1 us: 6 GB/s; one rank alone has no link."""
    rows = [
        {"op": "gemm", "m": 10, "n": 20, "k": 30, "dtype": "bfloat16", "seconds": seconds} for seconds in (2e-6, 1e-6)
    ]
    rows += [{"op": "copy", "bytes": 1000, "seconds": 1e-6}, {"op": "copy", "bytes": 1000, "seconds": 3e-6}]
    rows += [{"op": "all_reduce", "bytes": 8000, "ranks": ranks, "seconds": 1e-6} for ranks in (1, 4)]
    model = with_measured_peaks(blank_device("x"), rows)
    assert model.peak_flops_per_second == {"bf16": pytest.approx(1.2e10)}
    assert model.memory_bytes_per_second == pytest.approx(2e9)
    assert (model.link_bytes_per_second, model.domain_size) == (pytest.approx(6e9), 4)
    assert with_measured_peaks(model, []) == model
    assert [dtype_of(row) for row in ({"dtype": "float32"}, {"dtype": "fp8"}, {})] == ["fp32", "fp8", "bf16"]


def test_one_soft_error_by_hand() -> None:
    """rho(e) = 2 s^2 (sqrt(1 + (e / s)^2) - 1) with s = 0.05: least where the slopes of e = x and e = 2 (x - 1) cancel.

    Slope of rho: 2 e / sqrt(1 + (e / s)^2), which tends to 2 s; that of the second counts twice, so x is nearer to 1.
    """
    best = least_error(lambda x: np.array([x[0], 2 * (x[0] - 1)]), np.array([0.5]), WIDE)[0]

    def slope(error: float) -> float:
        return error / sqrt(1 + (error / 0.05) ** 2)

    assert slope(best) + 2 * slope(2 * (best - 1)) == pytest.approx(0, abs=1e-4)
    assert 0.98 < best < 1 < exp(best)
