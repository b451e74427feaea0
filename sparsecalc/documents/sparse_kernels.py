"""The document of `profile --technique`: a model's weight in a sparse kernel beside its dense twin."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class BreakEven(Frozen):
    """Where a sparse kernel overtakes the dense one, for one number of tokens."""

    tokens: int
    density: float | None
    """Largest share of the weight at which it is as fast; None where every or no measured density is."""
    text: str
    """In words: `at density 0.21`, `above 0.5`, `nowhere`."""


class SparseKernelReport(Document):
    """One weight matrix of a model, over densities and numbers of tokens."""

    model: str
    technique: str
    weight: str
    """The ledger's name of the weight."""
    environment: dict[str, Any]
    rows: list[dict[str, Any]]
    """`density`, `tokens`, `seconds` and `dense_seconds` (medians), their samples, `speedup`."""
    break_even: list[BreakEven]
