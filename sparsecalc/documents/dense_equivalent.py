"""The document of `dense-equivalent`."""

from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document

Target = Literal["itself", "memory", "compute", "quality"]


class Law(Frozen):
    """What one published law says; `low` and `high` differ where it is itself a range."""

    id: str
    name: str
    formula: str
    source: str
    note: str
    params_low: float
    params_high: float
    in_band: bool
    outside: list[str]
    """Which of the model's figures lie outside the range that the law was fitted in, or why it is left out."""


class Neighbour(Frozen):
    """A model by name, near one of the dense sizes, with what it costs."""

    target: Target
    target_params: float
    model: str
    total_params: int
    size_ratio: float
    """Its parameters over the size that was looked for."""
    small: bool
    """A small language model by data/equivalence_laws.json."""
    weights_bytes: int
    decode_flops_per_token: float
    fits: bool | None = None
    gpus_needed: int | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    tpot_seconds: float | None = None
    usd_per_million_output_tokens: float | None = None


class EquivalenceReport(Document):
    """Dense sizes of equal memory, compute and quality, and the nearest built-in dense models."""

    model: str
    total_params: int
    active_params: int
    memory_params: float
    """Dense parameters that take the same bytes in the same formats."""
    compute_params: float
    """Dense parameters whose products cost the same per token."""
    training_tokens: float | None
    training_tokens_source: str
    laws: list[Law]
    quality_low: float | None
    quality_middle: float | None
    quality_high: float | None
    neighbours: list[Neighbour]
    text: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Laws and neighbours, with the table's name: what CSV holds."""
        tables = ("laws", "neighbours")
        return [{"table": table, **row.to_dict()} for table in tables for row in getattr(self, table)]
