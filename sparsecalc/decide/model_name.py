"""A model as it is typed, with what stands behind its `+`: number formats and techniques of sparsity."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sparsecalc.core import units
from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.precision import Precision
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.library.formats import component_names, format_names, is_format, precision_for, with_file_type
from sparsecalc.library.models import LoadedModel, load_model
from sparsecalc.model.ledgers import Ledgers

if TYPE_CHECKING:  # imported where a name has a part that could be one
    from sparsecalc.techniques.base import Technique


class Variant(Frozen):
    """A model with its techniques applied: `loaded.spec` is the changed spec, `loaded.notes` tell what it costs."""

    loaded: LoadedModel
    model: Ledgers
    """Of `loaded.spec`."""
    dtype: str | None
    """The formats of the name, joined by commas; None: none there."""
    precision: Precision


def split_name(name: str) -> tuple[str, str | None]:
    """`mixtral-8x7b+experts=int4+2:4` is a model and its `+` parts, joined by commas; None: there are none.

    A `+` in a folder's name, or in the name of a file that exists, is part of the path.
    """
    folder, slash, last = name.rpartition(os.sep)
    model, *parts = last.split("+")
    return (name, None) if not parts or os.path.lexists(name) else (folder + slash + model, ",".join(parts))


def load_variant(
    name: str, dtype: str | None = None, kv_cache_dtype: str | None = None, parts_beside: tuple[str, ...] = ()
) -> Variant:
    """The model that `name` means; `dtype` is for a name without formats of its own.

    Techniques are applied in the order in which they are written. Raises InputError in one line: an unknown model,
    format, technique or part beside the decoder, a value out of range, a technique that does not fit the model.
    """
    model_name, parts = split_name(name)
    loaded = load_model(model_name).with_parts(parts_beside)
    techniques, formats = _sort(parts)
    if techniques:
        from sparsecalc.techniques.parse import apply_all

        spec, techniques = apply_all(loaded.spec, techniques)
        loaded = replace(loaded, spec=spec)
    spec, rest = with_file_type(loaded.spec, formats or dtype, loaded.config)
    more = spec.notes[len(loaded.spec.notes) :]
    loaded = replace(loaded, spec=spec, notes=(*loaded.notes, *more))
    precision = precision_for(spec, rest, kv_cache_dtype)
    model = Ledgers(loaded.spec)
    notes = (*loaded.notes, *_notes(model, techniques, precision))
    return Variant(loaded=replace(loaded, notes=notes), model=model, dtype=formats, precision=precision)


def in_format(variant: Variant, dtype: str, kv_cache_dtype: str | None = None) -> Variant:
    """A model that has no formats of its own in a `dtype`, without reading it again. Raises InputError as above."""
    loaded = variant.loaded
    spec, rest = with_file_type(loaded.spec, dtype, loaded.config)
    precision = precision_for(spec, rest, kv_cache_dtype)
    return Variant(loaded=replace(loaded, spec=spec), model=Ledgers(spec), dtype=None, precision=precision)


def _sort(parts: str | None) -> "tuple[list[Technique], str | None]":
    """Techniques, and the formats that are left."""
    if not parts:
        return [], None
    from sparsecalc.techniques.parse import TECHNIQUES, parse_technique

    techniques, formats = [], []
    for part in parts.split(","):
        if technique := parse_technique(part):
            techniques.append(technique)
        elif is_format(part):
            formats.append(part)
        else:
            name, equals, _ = part.strip().partition("=")
            known = [*TECHNIQUES, "2:4", *format_names(), *(component_names() if equals else ())]
            text = f"unknown {'component' if equals else 'dtype'} {brief(name)}, and no technique has that name"
            hint = f"Techniques: 2:4, {', '.join(TECHNIQUES)}; formats: int4, experts=mxfp4"
            raise InputError(text, hint=hint + did_you_mean(name, known))
    return techniques, ",".join(formats) or None


def _notes(model: Ledgers, techniques: "list[Technique]", precision: Precision) -> list[Note]:
    """For each technique what it does not save; and the non-zeros of sparse weights with their layout."""
    notes = [
        Note(code="technique", text=f"{each.text}, what it does not save: {'; '.join(each.not_saved)}")
        for each in techniques
    ]
    rows = model.ops(Workload())
    layouts = sorted({layout for op in rows if (layout := precision.layout(op))})
    if layouts:
        first = next(op.technique for op in rows if op.technique)
        stored, total = units.count(rows.total("nonzero_params")), units.count(rows.total("params"))
        held = f"{first}: {stored} of {total} parameters are stored, as {' and '.join(layouts)}"
        notes.append(Note(code="technique", text=f"{held}; `total` and `active` count the dense matrices"))
    return notes
