"""Techniques by name: what follows a `+` in a model's name."""

import re

from sparsecalc.core.errors import InputError
from sparsecalc.model.spec import ModelSpec
from sparsecalc.techniques.attention import Dsa, Heads, KvBudget, Quest, Window
from sparsecalc.techniques.base import Technique
from sparsecalc.techniques.dynamic import EarlyExit, Layers, MixtureOfDepths, Neurons
from sparsecalc.techniques.structural import Capacity, Depth, KeptExperts, Merge, TopK, Width
from sparsecalc.techniques.weights import PATTERN, Blocks, SemiStructured, Unstructured

_CLASSES: tuple[type[Technique], ...] = (
    Unstructured,
    Blocks,
    Heads,
    Neurons,
    Layers,
    EarlyExit,
    MixtureOfDepths,
    Window,
    KvBudget,
    Quest,
    Dsa,
    Width,
    Depth,
    TopK,
    KeptExperts,
    Merge,
    Capacity,
)
TECHNIQUES: dict[str, type[Technique]] = {kind.name: kind for kind in _CLASSES}
"""By the name before `=`; N:M patterns are their own name."""
VARIED = re.compile(rf"(?<=\+)({'|'.join(kind.varied for kind in _CLASSES if kind.varied)})[^+,]*", re.IGNORECASE)
"""The part of a model's name that is a technique whose sparsity may be any number."""


def parse_technique(part: str) -> Technique | None:
    """The technique that `part` names; None where it names none.

    `experts=int4` is a number format: only a number of experts is a technique. Raises InputError for a bad value.
    """
    text = part.strip().lower()
    if PATTERN.fullmatch(text):
        return SemiStructured.parse(text)
    name, _, value = text.partition("=")
    if name not in TECHNIQUES or (name == KeptExperts.name and not value[:1].isdigit()):
        return None
    return TECHNIQUES[name].parse(value)


def apply_all(spec: ModelSpec, techniques: list[Technique]) -> tuple[ModelSpec, list[Technique]]:
    """The spec with the techniques applied in order, and those of them that changed anything.

    Raises InputError where two exclude each other, or one does not fit the model.
    """
    effective = []
    for place, technique in enumerate(techniques):
        for earlier in techniques[:place]:
            both = f"{earlier.text} and {technique.text}"
            if type(earlier) is type(technique):
                raise InputError(f"{both} are the same technique", hint="Give it once")
            if technique.family and earlier.family == technique.family:
                raise InputError(f"{both} both set the {technique.family}", hint="Give one of them")
        changed = technique.apply(spec)
        effective += [technique] if changed != spec else []
        spec = changed
    return spec, effective
