"""Seconds of a step over a whole grid of accelerators, device counts, formats, batch sizes and contexts at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Phase, Workload
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.placement import placement_for
from sparsecalc.decide.question import Parallelism, positive
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for, with_file_type

if TYPE_CHECKING:
    from numpy import ndarray

POINTS_AT_ONCE = 2**14
"""Points that are computed together: an array of them and its intermediate results stay in a core's caches."""


@dataclass(frozen=True, slots=True)
class StepGrid:
    """Seconds of one step, as arrays with an axis each for gpus, num_gpus, dtypes, batch_sizes and context_lens."""

    model: str
    phase: Phase
    gpus: tuple[str, ...]
    num_gpus: tuple[int, ...]
    dtypes: tuple[str | None, ...]
    batch_sizes: "ndarray[Any, Any]"
    context_lens: "ndarray[Any, Any]"
    seconds: "ndarray[Any, Any]"
    seconds_low: "ndarray[Any, Any]"
    seconds_high: "ndarray[Any, Any]"
    """The band in which 80 % of measurements are expected."""


def step_grid(
    model: str,
    batch_sizes: Sequence[int],
    context_lens: Sequence[int],
    gpus: Sequence[str],
    num_gpus: Sequence[int] = (1,),
    dtypes: Sequence[str | None] = (None,),
    phase: Phase = "decode",
    engine: str | None = None,
) -> StepGrid:
    """Seconds of every combination: one decode step of each batch at each context, or one prompt of that length.

    The devices are split into tp and pp as `show` does; memory is not checked. None: the model's own dtype.
    Raises InputError for what is unknown, and for sizes that are not between 1 and 2^30.

    >>> times = step_grid("mixtral-8x7b", [1, 16, 64], [1024, 8192], gpus=["h100-sxm"], num_gpus=[2])
    >>> times.seconds.shape
    (1, 1, 1, 3, 2)
    """
    import numpy as np

    variant = load_variant(model)
    spec = variant.loaded.spec
    batches, contexts = _sizes("batch size", batch_sizes), _sizes("context", context_lens)
    seconds = np.empty((3, len(gpus), len(num_gpus), len(dtypes), batches.size, contexts.size))
    work = {"decode": Workload.decode, "prefill": Workload.prefill}.get(phase)
    if work is None:
        raise InputError(f"unknown phase {brief(phase)}", hint="Phases: decode, prefill")
    pieces = list(_pieces(batches.size, contexts.size))
    for i, gpu in enumerate(gpus):
        device = device_model(load_accelerator(gpu), engine)
        for j, count in enumerate(num_gpus):
            plan = placement_for(spec, Parallelism(num_gpus=count), device.domain_size)
            for k, dtype in enumerate(dtypes):
                stored, rest = with_file_type(spec, dtype or variant.dtype, variant.loaded.config)
                precision = precision_for(stored, rest)
                for rows, columns in pieces:
                    asked = work(contexts[None, columns], batches[rows, None])
                    step = step_time(stored, asked, precision, device, plan)
                    seconds[:, i, j, k, rows, columns] = step.seconds, step.seconds_low, step.seconds_high
    return StepGrid(model, phase, tuple(gpus), tuple(num_gpus), tuple(dtypes), batches, contexts, *seconds)


def _sizes(name: str, given: Sequence[int]) -> "ndarray[Any, Any]":
    import numpy as np

    positive(name, *given)
    return np.asarray(given, float)


def _pieces(batches: int, contexts: int) -> Iterator[tuple[slice, slice]]:
    """Parts of the grid of at most `POINTS_AT_ONCE` points, whole rows where they are short enough."""
    columns = min(contexts, POINTS_AT_ONCE)
    rows = max(1, POINTS_AT_ONCE // max(columns, 1))
    for top in range(0, batches, rows):
        for left in range(0, contexts, columns):
            yield slice(top, top + rows), slice(left, left + columns)
