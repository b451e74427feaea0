"""Fit the constants of a device's kernels to its micro-benchmarks, drawn toward the built-in ones.

Per class of kernels (family and format) two fits: of all rows, and of those that the first one is not off by a factor
of two. What is minimised stands in `constants_fit.py`.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparsecalc.core.frozen import Frozen
from sparsecalc.device.time_constants import Collective, DeviceModel, KernelConstants
from sparsecalc.estimate.benchmarked_kernels import Operands, benchmarked_kernels
from sparsecalc.measure.calibrate.constants_fit import Floats, KernelFit, bounds_of, collective_errors, least_error
from sparsecalc.measure.calibrate.measured_peaks import COLLECTIVES, Row, dtype_of
from sparsecalc.read.number_formats import number_format

FREE: dict[str, tuple[str, ...]] = {
    "gemm": ("compute", "bandwidth", "overhead_seconds", "power", "half_length"),
    "experts": ("compute", "bandwidth", "overhead_seconds", "vector", "half_length", "expert_seconds"),
    "attention_decode": ("compute", "bandwidth", "overhead_seconds"),
    "attention_prefill": ("compute", "half_length", "overhead_seconds"),
    "vector": ("bandwidth", "overhead_seconds"),
}
LIMITS = {
    "compute": (0.005, 1.2),
    "bandwidth": (0.01, 1.2),
    "overhead_seconds": (1e-8, 1e-2),
    "power": (1.0, 8.0),
    "vector": (0.005, 3.0),
    "half_length": (1e-3, 1e4),
    "expert_seconds": (1e-9, 1e-2),
}
"""Shares may exceed 1: the peak of a device without a data sheet is the best measured rate."""
FIRST = {"half_length": 1.0, "expert_seconds": 1e-6}
"""Start values of constants that are 0 among the built-in ones; these have no prior."""
COLLECTIVE_LIMITS = {"overhead_seconds": (1e-7, 1e-1), "bandwidth": (1e-3, 2.0), "per_device_seconds": (1e-9, 1e-2)}
PULL = 0.03
"""Weight of a constant's distance from the built-in one, per square root of rows."""
FEWEST_ROWS = 6
FAMILIES = {"gemm": "gemm", "moe": "experts", "elementwise": "vector"}
"""Families of kernels by the benchmark's `op`, where they differ."""


class Residual(Frozen):
    """How far a fitted class is from its rows: errors of the seconds, and by which factor each constant moved."""

    rows: int
    left_out: int = 0
    median_error: float
    p90_error: float
    prior_median_error: float
    moved: dict[str, float]


def fit(rows: list[Row], prior: DeviceModel) -> tuple[dict[str, KernelConstants], dict[str, Residual]]:
    """Constants by class (`gemm.bf16`, `experts.bf16`, `attention_decode.bf16`...) and how well they fit the rows.

    `rows` are those of the micro-benchmarks: `op`, shapes, `dtype`, `seconds`. Classes with fewer than 6 rows keep the
    prior.
    """
    constants, residuals = {}, {}
    for (family, dtype), own in _by_class(rows).items():
        if len(own) >= FEWEST_ROWS:
            name = f"{family}.{dtype}"
            constants[name], residuals[name] = _fit_class(family, dtype, own, prior)
    return constants, residuals


def _by_class(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    classes: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        family = FAMILIES.get(row["op"], row["op"])
        if family in FREE:
            classes[family, dtype_of(row)].append(row)
    return classes


def _column(rows: list[Row], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def _shape(row: Row) -> Row:
    """The row's shape under the names that `benchmarked_kernels` expects."""
    match row["op"]:
        case "moe":
            return {**row, "pairs": row["tokens"] * row["num_experts_per_tok"]}
        case "attention_prefill":
            return {**row, "prompt_len": row["context_len"]}
        case "elementwise":
            return {"nbytes": row["bytes"], "launches": row["kernels"]}
        case _:
            return row


def _fit_class(family: str, dtype: str, rows: list[Row], prior: DeviceModel) -> tuple[KernelConstants, Residual]:
    peak = dtype if dtype in prior.peak_flops_per_second else next(iter(prior.peak_flops_per_second))
    operands = Operands(form=dtype, dtype=peak, stored=number_format(dtype))
    kernel = benchmarked_kernels(family, map(_shape, rows), operands)
    known = np.array([getattr(prior.of(family, dtype), name) for name in FREE[family]])
    fit_of = KernelFit(
        kernel,
        _column(rows, "seconds"),
        prior,
        {name: LIMITS[name] for name in FREE[family]},
        first={name: FIRST[name] for name, value in zip(FREE[family], known, strict=True) if not value},
    )
    best, keep = fit_of.begin, np.ones(len(rows), bool)
    for _ in range(2):
        best = fit_of.fitted(best, keep, np.where(known > 0, PULL, 0.0))
        keep = _near(fit_of.errors(best))
    errors = fit_of.errors(best)[keep]
    residual = _residual(errors, fit_of.errors(fit_of.begin), fit_of.names, best - fit_of.begin)
    residual = residual.but(left_out=int((~keep).sum()))
    return fit_of.constants(best).but(origin="fitted", spread=_spread(errors), alone_seconds=0.0), residual


def _near(errors: Floats) -> npt.NDArray[np.bool_]:
    """Rows that are off by less than a factor of two; all of them, where that leaves too few."""
    near: npt.NDArray[np.bool_] = np.abs(errors) < np.log(2)
    return near if near.sum() >= FEWEST_ROWS else np.ones(len(errors), bool)


def fit_collectives(rows: list[Row], prior: DeviceModel) -> tuple[dict[str, Collective], dict[str, Residual]]:
    """Overhead, seconds per further device and share of the link for all_reduce and all_to_all, where rows exist."""
    constants, residuals = {}, {}
    for kind in COLLECTIVES:
        own = [row for row in rows if row["op"] == kind and row["ranks"] > 1]
        if len(own) >= FEWEST_ROWS:
            constants[kind], residuals[kind] = _fit_collective(kind, own, prior)
    return constants, residuals


def _fit_collective(kind: str, rows: list[Row], prior: DeviceModel) -> tuple[Collective, Residual]:
    known = prior.collectives[kind].but(alone_seconds=0.0)
    columns = {name: _column(rows, name) for name in ("ranks", "bytes", "seconds")}
    names = ["overhead_seconds", "bandwidth"]
    names += ["per_device_seconds"] if len(np.unique(columns["ranks"])) > 1 else []
    low, high = bounds_of({name: COLLECTIVE_LIMITS[name] for name in names})
    begin = np.clip(np.log([max(getattr(known, name), 1e-9) for name in names]), low + 1e-3, high - 1e-3)

    def constants(x: Floats) -> Collective:
        return known.but(**dict(zip(names, np.exp(x).tolist(), strict=True)), origin="fitted")

    def errors(x: Floats) -> Floats:
        return collective_errors(kind, columns, prior, constants(x))

    best = least_error(errors, begin, (low, high))
    residual = _residual(errors(best), errors(begin), names, best - begin)
    return constants(best).but(spread=_spread(errors(best))), residual


def _spread(errors: Floats) -> float:
    """Standard deviation of ln(predicted / measured) by its median; at least what runs on different days differ by."""
    return float(np.clip(1.4826 * np.median(np.abs(errors)), 0.03, 0.6))


def _residual(errors: Floats, before: Floats, names: Sequence[str], moved: Floats) -> Residual:
    final, first = np.abs(np.expm1(errors)), np.abs(np.expm1(before))
    return Residual(
        rows=len(final),
        median_error=float(np.median(final)),
        p90_error=float(np.percentile(final, 90)),
        prior_median_error=float(np.median(first)),
        moved={name: float(np.exp(value)) for name, value in zip(names, moved, strict=True)},
    )
