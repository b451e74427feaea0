"""Kernels of a kind as one kernel of arrays: a search of many layouts asks what they take together, not each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparsecalc.core.arrays import Number, is_array
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.timing import KernelTime

COUNTS = (
    "layers",
    "launches",
    "flops",
    "padding_flops",
    "weight_bytes",
    "cache_bytes",
    "activation_bytes",
    "vector_bytes",
    "distinct",
    "extent",
    "rows_per_cache_head",
)
"""Fields of a kernel that are numbers of the step; the others choose constants."""


def stacked(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels with those of the same constants put together, their counts along a first axis."""
    kinds: dict[tuple[object, ...], list[Kernel]] = {}
    for kernel in kernels:
        key = (kernel.family, kernel.form, kernel.dtype, kernel.stored, kernel.tile_rows, kernel.speedup, kernel.scope)
        kinds.setdefault(key, []).append(kernel)
    return [_together(same) for same in kinds.values()]


def _together(same: list[Kernel]) -> Kernel:
    columns = {name: [getattr(kernel, name) for kernel in same] for name in COUNTS}
    return replace(same[0], **{name: _column(values) for name, values in columns.items()})


def _column(values: list[Number]) -> Number:
    """A row for each kernel: of one number where it is the same for all steps, else of as many as there are steps."""
    width = max((value.size for value in values if is_array(value)), default=1)
    if width == 1:
        return np.array(values, dtype=float).reshape(-1, 1)
    column = np.empty((len(values), width))
    for row, value in enumerate(values):
        column[row] = value
    return column


def summed(time: KernelTime) -> KernelTime:
    """The seconds of stacked kernels, all of them together, without what they are spent on."""
    return KernelTime(time.kernel, time.seconds.sum(axis=0), time.spread, {})
