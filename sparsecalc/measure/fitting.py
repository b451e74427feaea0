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
from sparsecalc.estimate import single
from sparsecalc.estimate.kernels import Kernel
from sparsecalc.estimate.timing import kernel_time
from sparsecalc.library.formats import number_format
from sparsecalc.model.device import Constants, DeviceModel

FREE: dict[str, tuple[str, ...]] = {
    "gemm": ("compute", "bandwidth", "overhead_seconds", "power", "half_length"),
    "experts": ("compute", "bandwidth", "overhead_seconds", "vector", "half_length"),
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
}
"""Shares above 1: the peak of a device without a data sheet is the best that was measured."""
PRIOR_WEIGHT = 0.1
FEWEST_ROWS = 6


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
    """`prior` with peaks and bandwidth measured, for a device without a data sheet: the best of the rows."""
    peaks: dict[str, float] = dict(prior.peak_flops_per_second)
    for row in rows:
        if row["op"] == "gemm":
            rate = 2.0 * row["m"] * row["n"] * row["k"] / row["seconds"]
            name = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(row["dtype"], row["dtype"])
            peaks[name] = max(rate, peaks.get(name, 0.0))
    copies = [2.0 * row["bytes"] / row["seconds"] for row in rows if row["op"] == "copy"]
    bandwidth = max(copies, default=prior.memory_bytes_per_second)
    return prior.but(peak_flops_per_second=peaks, memory_bytes_per_second=bandwidth)


def fit(rows: list[dict[str, Any]], prior: DeviceModel) -> tuple[dict[str, Constants], dict[str, Residual]]:
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
    name = row.get("dtype", "bf16")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(name, name)


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
    heads = ("num_attention_heads", "num_key_value_heads", "head_dim")
    if family == "attention_decode":
        shapes = [at(name) for name in ("batch_size", "context_len", *heads)]
        return single.decode_attention(*shapes, dtype, peak, stored)
    if family == "attention_prefill":
        shapes = [at(name) for name in ("batch_size", "context_len", "num_attention_heads", "head_dim")]
        return single.prefill_attention(*shapes, dtype, peak)
    return Kernel(name="vector", component="other", family="vector", dtype=peak, activation_bytes=at("bytes"))


def _fit_class(group: _Class, prior: DeviceModel) -> tuple[Constants, Residual]:
    start = prior.of(group.family, group.form)
    names = FREE[group.family]
    low, high = (np.log([LIMITS[name][side] for name in names]) for side in (0, 1))
    begin = np.clip(np.log([max(getattr(start, name), 1e-12) for name in names]), low + 1e-3, high - 1e-3)
    keep = np.ones(np.size(group.seconds), bool)

    def constants(x: Any) -> Constants:
        return start.but(**{name: float(value) for name, value in zip(names, np.exp(x), strict=True)}, origin="fitted")

    def errors(x: Any) -> Any:
        changed = {**prior.constants, f"{group.family}.{group.form}": constants(x)}
        model = prior.but(constants=changed, engine=prior.engine.but(launch_factor=1.0, bandwidth_factor=1.0))
        return np.log(kernel_time(group.kernel, model, alone=True).seconds / group.seconds)

    def objective(x: Any) -> Any:
        return np.concatenate([errors(x)[keep], PRIOR_WEIGHT * np.sqrt(keep.sum()) * 0.3 * (x - begin)])

    best = begin
    for _ in range(2):
        best = least_squares(objective, best, bounds=(low, high), loss="soft_l1", f_scale=0.05).x
        keep = np.abs(errors(best)) < np.log(2)
        if keep.sum() < FEWEST_ROWS:
            keep[:] = True
    final, before = np.abs(np.expm1(errors(best)[keep])), np.abs(np.expm1(errors(begin)))
    spread = float(np.clip(1.4826 * np.median(np.abs(errors(best)[keep])), 0.03, 0.6))
    moved = {name: float(np.exp(value)) for name, value in zip(names, best - begin, strict=True)}
    residual = Residual(
        rows=int(keep.sum()),
        left_out=int((~keep).sum()),
        median_error=float(np.median(final)),
        p90_error=float(np.percentile(final, 90)),
        prior_median_error=float(np.median(before)),
        moved=moved,
    )
    return constants(best).but(spread=spread, alone_seconds=0.0), residual
