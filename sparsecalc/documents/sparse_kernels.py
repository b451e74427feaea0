"""The document of `profile --technique`: a model's weight in a sparse kernel beside its dense twin."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class BreakEven(Frozen):
    """The density at which a sparse kernel is as fast as the dense one, for one number of tokens."""

    tokens: int
    """Tokens that are multiplied with the weight."""
    density: float | None
    """Largest share of non-zero weights at which the sparse kernel is as fast; None where it is faster at every
    measured density, or at none."""
    text: str
    """In words: `at density 0.21`, `above density 0.5`, `nowhere`."""


class SparseKernelReport(Document):
    """Measured times of one weight matrix, over densities and numbers of tokens."""

    model: str
    """Id of the model."""
    technique: str
    """The sparse kernel."""
    weight: str
    """Name of the weight in the model's ledger, and its size."""
    environment: dict[str, Any]
    """Conditions of the measurement: device, versions, clocks, load."""
    rows: list[dict[str, Any]]
    """For each number of tokens and density: `seconds` and `dense_seconds` (medians), the samples of both in seconds,
    and `speedup`, dense seconds over sparse ones."""
    break_even: list[BreakEven]
    """The break-even density for each number of tokens."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each number of tokens and density."""
        return self.rows
