"""Fit the constants of a device's kernels to micro-benchmarks, drawn toward the built-in ones.

Per class of kernels: minimise the mean of soft |ln(predicted / measured)| + 0.1 * (ln c - ln c_prior)^2 over the
constants c in logarithms. Rows that are off by a factor of two after a first fit are left out of a second one.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from sparsecalc.core.frozen import Frozen
from sparsecalc.device.time_constants import Collective, DeviceModel, KernelConstants
from sparsecalc.estimate import single
from sparsecalc.estimate.kernels import Kernel
from sparsecalc.estimate.timing import kernel_time, transfer_time
from sparsecalc.library.formats import number_format

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
"""Shares above 1: the peak of a device without a data sheet is the best that was measured."""
BEGIN = {"half_length": 1.0, "expert_seconds": 1e-6}
"""Where a constant begins that the built-in ones leave at 0; nothing draws it back."""
COLLECTIVES = ("all_reduce", "all_to_all")
PRIOR_WEIGHT = 0.1
FEWEST_ROWS = 6
FP_NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


class Residual(Frozen):
    """How far a fitted class is from its rows: errors of the seconds, and by which factor each constant moved."""

    rows: int
    left_out: int
    median_error: float
    p90_error: float
    prior_median_error: float
    moved: dict[str, float]


@dataclass
class _Class:
    family: str
    form: str
    kernel: Kernel
    seconds: Any


def base_model(prior: DeviceModel, rows: list[dict[str, Any]]) -> DeviceModel:
    """`prior` with peaks, bandwidth and link measured, for a device without a data sheet: the best of the rows."""
    peaks: dict[str, float] = dict(prior.peak_flops_per_second)
    for row in rows:
        if row["op"] == "gemm":
            rate = 2.0 * row["m"] * row["n"] * row["k"] / row["seconds"]
            peaks[_dtype(row)] = max(rate, peaks.get(_dtype(row), 0.0))
    copies = [2.0 * row["bytes"] / row["seconds"] for row in rows if row["op"] == "copy"]
    together = [row for row in rows if row["op"] in COLLECTIVES]
    links = [row["bytes"] * (row["ranks"] - 1) / row["ranks"] / row["seconds"] for row in together if row["ranks"] > 1]
    return prior.but(
        peak_flops_per_second=peaks,
        memory_bytes_per_second=max(copies, default=prior.memory_bytes_per_second),
        link_bytes_per_second=max(links, default=prior.link_bytes_per_second),
        domain_size=max([prior.domain_size, *(row["ranks"] for row in together)]),
    )


def fit(rows: list[dict[str, Any]], prior: DeviceModel) -> tuple[dict[str, KernelConstants], dict[str, Residual]]:
    """Constants by class (`gemm.bf16`, `experts.bf16`, `attention_decode.bf16`...) and how well they fit the rows.

    `rows` are those of the micro-benchmarks: `op`, shapes, `dtype`, `seconds`. Classes with fewer than 6 rows keep the
    prior.
    """
    found, residuals = {}, {}
    for name, group in _classes(rows, prior).items():
        if np.size(group.seconds) >= FEWEST_ROWS:
            found[name], residuals[name] = _fit_class(group, prior)
    return found, residuals


def _classes(rows: list[dict[str, Any]], prior: DeviceModel) -> dict[str, _Class]:
    by_class: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    families = {"gemm": "gemm", "moe": "experts", "elementwise": "vector"}
    for row in rows:
        family = families.get(row["op"], row["op"])
        if family in FREE:
            by_class[family, _dtype(row)].append(row)
    return {
        f"{family}.{dtype}": _Class(family, dtype, _kernel(family, dtype, group, prior), _column(group, "seconds"))
        for (family, dtype), group in by_class.items()
    }


def _dtype(row: dict[str, Any]) -> str:
    name: str = row.get("dtype", "bf16")
    return FP_NAMES.get(name, name)


def _column(rows: list[dict[str, Any]], name: str) -> Any:
    return np.array([float(row[name]) for row in rows])


def _kernel(family: str, dtype: str, rows: list[dict[str, Any]], prior: DeviceModel) -> Kernel:
    """All rows of one class as one kernel whose counts are arrays."""
    peak = dtype if dtype in prior.peak_flops_per_second else next(iter(prior.peak_flops_per_second))
    stored = number_format(dtype)

    def at(name: str) -> Any:
        return _column(rows, name)

    if family == "gemm":
        return single.gemm(at("m"), at("n"), at("k"), dtype, peak, stored)
    if family == "experts":
        tokens, k = at("tokens"), at("num_experts_per_tok")
        sizes = (at("hidden_size"), at("moe_intermediate_size"))
        return single.experts(tokens, *sizes, k, tokens * k, at("distinct"), dtype, peak, stored)
    if family == "vector":
        moved, launches = at("bytes"), at("kernels")
        return Kernel(
            name=family, component="other", family="vector", dtype=peak, launches=launches, activation_bytes=moved
        )
    batch, context, heads, size = (
        at(name) for name in ("batch_size", "context_len", "num_attention_heads", "head_dim")
    )
    if family == "attention_prefill":
        return single.prefill_attention(batch, context, heads, size, dtype, peak)
    return single.decode_attention(batch, context, heads, at("num_key_value_heads"), size, dtype, peak, stored)


def _fit_class(group: _Class, prior: DeviceModel) -> tuple[KernelConstants, Residual]:
    start = prior.of(group.family, group.form)
    names = FREE[group.family]
    low, high = (np.log([LIMITS[name][side] for name in names]) for side in (0, 1))
    known = np.array([getattr(start, name) for name in names])
    pull = PRIOR_WEIGHT * (known > 0)
    begin = np.log([value or BEGIN[name] for name, value in zip(names, known, strict=True)])
    begin = np.clip(begin, low + 1e-3, high - 1e-3)
    keep = np.ones(np.size(group.seconds), bool)

    def constants(x: Any) -> KernelConstants:
        return start.but(**{name: float(value) for name, value in zip(names, np.exp(x), strict=True)}, origin="fitted")

    def errors(x: Any) -> Any:
        changed = {**prior.constants, f"{group.family}.{group.form}": constants(x)}
        model = prior.but(constants=changed, engine=prior.engine.but(launch_factor=1.0, bandwidth_factor=1.0))
        return np.log(kernel_time(group.kernel, model, alone=True).seconds / group.seconds)

    def objective(x: Any) -> Any:
        return np.concatenate([errors(x)[keep], 0.3 * np.sqrt(keep.sum()) * pull * (x - begin)])

    best = begin
    for _ in range(2):
        best = least_squares(objective, best, bounds=(low, high), loss="soft_l1", f_scale=0.05).x
        keep = np.abs(errors(best)) < np.log(2)
        if keep.sum() < FEWEST_ROWS:
            keep[:] = True
    off = errors(best)[keep]
    residual = _residual(off, errors(begin), names, best - begin, left_out=int((~keep).sum()))
    return constants(best).but(spread=_spread(off), alone_seconds=0.0), residual


def fit_collectives(
    rows: list[dict[str, Any]], prior: DeviceModel
) -> tuple[dict[str, Collective], dict[str, Residual]]:
    """Overhead, seconds per further device and share of the link for all_reduce and all_to_all, where rows exist."""
    found, residuals = {}, {}
    for kind in COLLECTIVES:
        own = [row for row in rows if row["op"] == kind and row["ranks"] > 1]
        if len(own) >= FEWEST_ROWS:
            found[kind], residuals[kind] = _fit_collective(kind, own, prior)
    return found, residuals


def _fit_collective(kind: str, rows: list[dict[str, Any]], prior: DeviceModel) -> tuple[Collective, Residual]:
    start = prior.collectives[kind].but(alone_seconds=0.0)
    names = [
        "overhead_seconds",
        "bandwidth",
        *(["per_device_seconds"] if len({row["ranks"] for row in rows}) > 1 else []),
    ]
    limits = {"overhead_seconds": (1e-7, 1e-1), "bandwidth": (1e-3, 2.0), "per_device_seconds": (1e-9, 1e-2)}
    low, high = (np.log([limits[name][side] for name in names]) for side in (0, 1))
    begin = np.clip(np.log([max(getattr(start, name), 1e-9) for name in names]), low + 1e-3, high - 1e-3)

    def constants(x: Any) -> Collective:
        return start.but(**{name: float(value) for name, value in zip(names, np.exp(x), strict=True)}, origin="fitted")

    def errors(x: Any) -> Any:
        model = prior.but(collectives={**prior.collectives, kind: constants(x)})
        seconds = [transfer_time("", kind, 1, row["ranks"], row["bytes"], model).seconds for row in rows]
        return np.log(np.array(seconds) / _column(rows, "seconds"))

    best = least_squares(errors, begin, bounds=(low, high), loss="soft_l1", f_scale=0.05).x
    residual = _residual(errors(best), errors(begin), names, best - begin, left_out=0)
    return constants(best).but(spread=_spread(errors(best))), residual


def _spread(errors: Any) -> float:
    """Standard deviation of ln(predicted / measured), by the median; never below what another day's run differs by."""
    return float(np.clip(1.4826 * np.median(np.abs(errors)), 0.03, 0.6))


def _residual(errors: Any, before: Any, names: Any, moved: Any, left_out: int) -> Residual:
    final, first = np.abs(np.expm1(errors)), np.abs(np.expm1(before))
    return Residual(
        rows=len(final),
        left_out=left_out,
        median_error=float(np.median(final)),
        p90_error=float(np.percentile(final, 90)),
        prior_median_error=float(np.median(first)),
        moved={name: float(np.exp(value)) for name, value in zip(names, moved, strict=True)},
    )
