"""Layers for multi-token prediction beside a decoder, as weights that a checkpoint stores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import Layer
from sparsecalc.model.stored import StoredPart
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import mtp_text

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra

KEY = "num_nextn_predict_layers"


def prediction_parts(
    steps: Sequence[Sequence[Layer]], hidden: int, *, norms: int, extras: "Sequence[Extra]" = ()
) -> tuple[StoredPart, ...]:
    """Each step: its layers, maps of 2 H * H in all from the embedding and the hidden state, `norms` and `extras`."""
    count, work = len(steps), Workload()
    found = [(step, steps.count(step)) for index, step in enumerate(steps) if step not in steps[:index]]
    parts = [_part(op, times) for step, times in found for layer in step for op in layer.ops(work) if op.params]
    parts += [_part(op, count) for extra in extras for op in extra.ops(work) if op.params]
    parts.append(StoredPart(name="eh_proj", matrices=count, rows=hidden, cols=2 * hidden))
    parts.append(StoredPart(name="norms", vectors=norms * count))
    return tuple(parts)


def _part(op: Op, times: int) -> StoredPart:
    """An op's weights, `times` over."""
    matrices, vectors = op.matrices * times, op.vectors * times
    return StoredPart(name=op.name, matrices=matrices, rows=op.rows, cols=op.cols, vectors=vectors)


def count_mtp(
    config: Fields,
    steps: Sequence[Sequence[Layer]],
    hidden: int,
    *,
    norms: int | None = None,
    extras: "Sequence[Extra]" = (),
) -> None:
    """Prediction layers whose structure is known: counted where asked for, and named with their size.

    `norms`: elements of a step's norms outside its layers; three of H where not given.
    """
    if steps:
        norms = 3 * hidden if norms is None else norms
        config.mtp = prediction_parts(steps, hidden, norms=norms, extras=extras)
        config.mtp_step = tuple(steps[0])
        config.note("mtp-layers", mtp_text(len(steps), sum(part.params for part in config.mtp)))


def mtp_steps(config: Fields, key: str = KEY) -> int:
    """How many prediction steps the config counts; 0 where it names none."""
    return config.optional_size(key, default=None, zero=True) or 0
