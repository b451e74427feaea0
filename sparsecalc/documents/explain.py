"""The document of `explain`: a figure term by term."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class ExplainLine(Frozen):
    """One term of a sum."""

    label: str
    """What the term is."""
    formula: str
    """How it is computed, with the model's numbers."""
    value: int | float
    """Its value, in the unit of the sum."""
    source: str = ""
    """Where the formula comes from."""


class ExplainReport(Document):
    """One figure of a model, term by term."""

    model: str
    """Id of the model."""
    topic: str
    """The figure that is explained: total, active, flops, kv_cache or weights."""
    unit: str
    """Unit of all values: parameters, FLOPs, bytes or bytes per token."""
    text: list[str]
    """Sentences: what is counted, and where the sizes come from."""
    lines: list[ExplainLine]
    """The terms."""
    result: int | float
    """Sum of the terms: the figure that `show` prints."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each term."""
        return [line.to_dict() for line in self.lines]
