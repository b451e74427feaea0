"""How much faster a sparse kernel is than the dense one: measured tables, the nearest device, or a bound.

2:4 tables are interpolated in log(tokens) for a device and number format; where there is none, in this order: the
other format of as many bits, a device of the same compute capability, one of the same architecture, a bound.
"""

from functools import cache
from itertools import pairwise
from math import log
from typing import Any

from sparsecalc.core.arrays import Number, is_array, least
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op
from sparsecalc.core.storage import GroupStorage
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator, Dtype
from sparsecalc.device.find import load_accelerator
from sparsecalc.read.number_formats import number_format
from sparsecalc.techniques.parse import parse_technique
from sparsecalc.techniques.weights import Blocks, SemiStructured, Unstructured

_TWINS = {"bf16": "fp16", "fp16": "bf16", "fp8": "int8", "int8": "fp8"}
_UNITS: dict[str, Dtype] = {
    **{"fp32": "fp32", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "int8": "int8", "fp4": "fp4", "int4": "int4"},
    **{"nvfp4": "fp4", "mxfp4": "fp4", "nvfp4-w4a16": "fp4", "mxfp4-w4a16": "fp4", "mxfp8": "fp8", "nf4": "int4"},
}
"""Number formats, and the format of the tensor cores that multiply them."""


class SparseSpeedup(Frozen):
    """Seconds of the dense kernel over seconds of the sparse one: a number, or an array as `tokens` was."""

    value: Number
    source: str
    measured: bool
    """Whether it was measured on this very device, format and range of tokens."""


def speedup(technique: str | Op, gpu: str, dtype: str, tokens: Number, elements: int | None = None) -> SparseSpeedup:
    """The kernel speed-up of sparse weights: `2:4`, `unstructured=0.7`, `block=64x64@0.9`, or an op that has them.

    `tokens`: rows of the activation matrix; `elements`: of the weight matrix, since small ones gain nothing from 2:4.
    1.0 where the technique is not one of weights: its FLOPs and bytes say what it saves.
    Raises InputError for an unknown accelerator or format. Source: data/sparse_kernels, each table with its own.
    """
    text = technique.technique if isinstance(technique, Op) else technique
    pattern, device = parse_technique(text), load_accelerator(gpu)
    if isinstance(pattern, SemiStructured):
        return _semi_structured(pattern, device, dtype, tokens, elements)
    if isinstance(pattern, Unstructured):
        return _unstructured(pattern, device, dtype, tokens)
    if isinstance(pattern, Blocks):
        return _blocks(pattern, device, dtype, tokens)
    return SparseSpeedup(value=_like(tokens, 1.0), source="no sparse weights", measured=False)


@cache
def _data(name: str) -> dict[str, Any]:
    tables: dict[str, Any] = read_data(f"sparse_kernels/{name}.json")
    return tables


def _like(tokens: Number, value: float) -> Number:
    return value + 0 * tokens if is_array(tokens) else value


def _interpolated(points: dict[float, float], x: Number) -> Number:
    """Linear in the logarithm of the keys (ascending), constant beyond their ends."""
    keys = list(points)
    if is_array(x):
        import numpy as np

        return np.interp(np.log(x), np.log(keys), list(points.values()))
    if x <= keys[0] or x >= keys[-1]:
        return points[keys[0] if x <= keys[0] else keys[-1]]
    place = next(index for index, key in enumerate(keys) if key > x)
    low, high = keys[place - 1], keys[place]
    share = (log(x) - log(low)) / (log(high) - log(low))
    return points[low] + share * (points[high] - points[low])


def _within(points: dict[float, float], tokens: Number) -> bool:
    inside = (tokens >= min(points)) & (tokens <= max(points))
    return bool(inside.all() if is_array(inside) else inside)


def _unit(dtype: str) -> Dtype:
    name = number_format(dtype).id
    return _UNITS.get(name) or _UNITS.get(name.split("-")[0], "bf16")


def _closeness(table: dict[str, Any], device: Accelerator) -> int | None:
    """0: the device itself, 1: its compute capability, 2: its architecture, None: neither."""
    if table["gpu"] == device.id:
        return 0
    mine, other = device.arch, load_accelerator(table["gpu"]).arch
    if not mine:
        return None
    if "(sm_" in mine and mine.split("(")[-1] == other.split("(")[-1]:
        return 1
    return 2 if mine.split()[0] == other.split()[0] and not table.get("this_gpu_only") else None


def _nearest(tables: list[dict[str, Any]], device: Accelerator, dtype: str) -> tuple[int, dict[str, Any]] | None:
    """The table that is nearest by device, then by format: (0, table) where both are the very same."""
    candidates = []
    for table in tables:
        close = _closeness(table, device)
        format_gap = {dtype: 0, _TWINS.get(dtype, ""): 1}.get(table["dtype"])
        if close is not None and format_gap is not None:
            candidates.append((2 * close + format_gap, table))
    return min(candidates, key=lambda pair: pair[0], default=None)


def _semi_structured(
    pattern: SemiStructured, device: Accelerator, dtype: str, tokens: Number, elements: int | None
) -> SparseSpeedup:
    """2:4 by its table; (M-2):M as 2:4 windows over an inner side that is 2 (M-2) / M as long (arXiv:2603.05232)."""
    unit, data = _unit(dtype), _data("semi_structured")
    if pattern.compute_share == 1 or not device.sparse_speedup(unit):
        why = "no kernel for the pattern" if pattern.compute_share == 1 else f"{device.id} has no 2:4 mode"
        return SparseSpeedup(value=_like(tokens, 1.0), source=f"{why}: runs dense", measured=False)
    near = _nearest(data["tables"], device, unit)
    if near:
        gap, table = near
        points = {float(rows): value for rows, value in table["median_speedup"].items()}
        value, source = (
            _interpolated(points, tokens),
            f"{data['sources'][table['source']]}; {table['gpu']} {table['dtype']}",
        )
        measured = not gap and pattern.text == "2:4" and _within(points, tokens)
    else:
        value, measured, source = _bound(pattern, device, unit, tokens), False, data["fallback"]["source"]
    value = value * 0.5 / pattern.compute_share
    if elements is not None and elements < data["fallback"]["no_gain_below_elements"]:
        value = least(value, 1.0)
    return SparseSpeedup(value=value, source=source, measured=measured)


def _ridge(device: Accelerator, dtype: Dtype, bits: float) -> float:
    """Tokens above which a dense product is bound by compute: peak * bytes per element / (2 * bandwidth)."""
    peak = device.peak_flops_per_second.get(dtype) or device.peak_flops_per_second.get("bf16") or 0.0
    return peak * bits / 8 / (2 * device.memory_bytes_per_second)


def _bound(pattern: SemiStructured, device: Accelerator, dtype: Dtype, tokens: Number) -> Number:
    """Below the ridge 0.75 of the ratio of bytes, above it 0.8 of the sparse peak over the dense one."""
    fallback, fmt = _data("semi_structured")["fallback"], number_format(dtype)
    group = GroupStorage(kept=2, of=4)
    ratio = fmt.matrix_bytes(1024, 1024) / group.matrix_bytes(1024, 1024, fmt)
    memory = fallback["memory_bound_share"] * ratio
    compute = fallback["compute_bound_share"] * (device.sparse_speedup(dtype) or 1.0)
    above = tokens > _ridge(device, dtype, fmt.bits)
    return memory + (compute - memory) * above


def _unstructured(pattern: Unstructured, device: Accelerator, dtype: str, tokens: Number) -> SparseSpeedup:
    """Up to 32 tokens the kernel's table; from the ridge on the compute-bound figure; in between log(tokens).

    Below the sparsity where the two are equal, 1.0: one would run dense.
    """
    data, unit = _data("unstructured"), _unit(dtype)
    tables = sorted(
        data["tables"], key=lambda table: (_closeness(table, device) is None, _closeness(table, device) or 0)
    )
    table = tables[0] if _closeness(tables[0], device) is not None else data["tables"][-1]
    source = f"{data['sources'][table['source']]}; {table['kernel']} on {table['gpu']}"
    if pattern.sparsity <= table["equal_at_sparsity"]:
        return SparseSpeedup(value=_like(tokens, 1.0), source=f"{source}; no gain at this sparsity", measured=False)
    by_tokens: dict[float, dict[float, float]] = {}
    for share, row in table["speedup"].items():
        for rows, value in row.items():
            by_tokens.setdefault(float(rows), {table["equal_at_sparsity"]: 1.0})[float(share)] = value
    points = {rows: _linear(shares, pattern.sparsity) for rows, shares in by_tokens.items()}
    measured = _closeness(table, device) == 0 and unit in ("fp16", "bf16") and _within(points, tokens)
    ridge = max(_ridge(device, unit, number_format(dtype).bits), 2 * max(points))
    value = _interpolated({**points, ridge: data["compute_bound"]["speedup"]}, tokens)
    inside = str(pattern.sparsity) in table["speedup"]
    return SparseSpeedup(value=value, source=source, measured=measured and inside)


def _linear(points: dict[float, float], x: float) -> float:
    """Linear between the points (ascending), constant beyond the last."""
    pairs = list(points.items())
    for (low, first), (high, second) in pairwise(pairs):
        if x <= high:
            return first + (x - low) / (high - low) * (second - first)
    return pairs[-1][1]


def _blocks(pattern: Blocks, device: Accelerator, dtype: str, tokens: Number) -> SparseSpeedup:
    """The one published series: fp32 on A100, blocks of 16, 32 and 64; 1.0 for other formats, smaller blocks."""
    data, side = _data("block"), min(pattern.block_rows, pattern.block_cols)
    fitting = [table for table in data["tables"] if table["block"] <= side and table["dtype"] == _unit(dtype)]
    if not fitting:
        why = "no gain is published for this block and format"
        return SparseSpeedup(
            value=_like(tokens, 1.0), source=f"{why}; {data['sources']['pytorch-vit']}", measured=False
        )
    table = fitting[-1]
    points = {table["equal_at_sparsity"]: 1.0, **{float(share): value for share, value in table["speedup"].items()}}
    value = 1.0 if pattern.sparsity <= table["equal_at_sparsity"] else _linear(points, pattern.sparsity)
    exact = table["gpu"] == device.id and table["block"] == side and str(pattern.sparsity) in table["speedup"]
    return SparseSpeedup(value=_like(tokens, value), source=data["sources"][table["source"]], measured=exact)
