"""The document of `dense-equivalent`."""

from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document

Target = Literal["itself", "memory", "compute", "quality"]


class Law(Frozen):
    """The dense size of equal quality by one published scaling law."""

    id: str
    """Key of the law in data/equivalence_laws.json."""
    name: str
    """Name of the law."""
    formula: str
    """Its formula, in the symbols of its source."""
    source: str
    """Where it was published."""
    note: str
    """What it was fitted to, and what to be careful about."""
    params_low: float
    """Parameters of the dense model; lower end where the law itself gives a range."""
    params_high: float
    """Upper end of that range; else the same as `params_low`."""
    in_band: bool
    """Whether the law counts in the quality band."""
    outside: list[str]
    """Figures of the model that lie outside the range that the law was fitted in, or why it is left out."""


class Neighbour(Frozen):
    """A built-in dense model near one of the dense sizes, with what it costs; also the model itself."""

    target: Target
    """The dense size that it is near; `itself` is the model that was asked about."""
    target_params: float
    """Parameters of that dense size."""
    model: str
    """Id of the neighbour."""
    total_params: int
    """Its parameters."""
    size_ratio: float
    """Its parameters divided by `target_params`."""
    small: bool
    """Whether it is a small language model: below `small_model_params` of data/equivalence_laws.json."""
    weights_bytes: int
    """Bytes of its weights."""
    decode_flops_per_token: float
    """FLOPs of one decoded token."""
    fits: bool | None = None
    """Whether it fits on the devices; None without `--gpu`, as all below."""
    gpus_needed: int | None = None
    """Smallest number of these devices that holds it; None where no number does."""
    prefill_seconds: float | None = None
    """Seconds of one prompt on an idle server."""
    decode_seconds: float | None = None
    """Seconds of one decode step."""
    tpot_seconds: float | None = None
    """Seconds per output token of a request (TPOT)."""
    usd_per_million_output_tokens: float | None = None
    """US dollars per million output tokens; None without a price."""


class EquivalenceReport(Document):
    """Dense sizes of equal memory, compute and quality, and the nearest built-in dense models."""

    model: str
    """Id of the model."""
    total_params: int
    """All parameters."""
    active_params: int
    """Parameters that one token uses."""
    memory_params: float
    """Parameters of a dense model whose weights take the same bytes in the same formats."""
    compute_params: float
    """Parameters of a dense model whose products with weights cost the same FLOPs per token."""
    training_tokens: float | None
    """Tokens that the laws assume the model was trained on; None for a dense model."""
    training_tokens_source: str
    """Where that number comes from."""
    laws: list[Law]
    """The laws; empty for a dense model."""
    quality_low: float | None
    """Smallest dense size among the laws of the band, in parameters; None without laws."""
    quality_middle: float | None
    """Dense size by the law that is taken for the middle, in parameters; None without laws."""
    quality_high: float | None
    """Largest dense size among the laws of the band, in parameters; None without laws."""
    neighbours: list[Neighbour]
    """The model itself, then built-in dense models near each size."""
    text: list[str]
    """Sentences that are computed from the figures."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each law and each neighbour, with the name of its list."""
        tables: dict[str, list[Any]] = {"laws": self.laws, "neighbours": self.neighbours}
        return [{"table": table, **row.to_dict()} for table, rows in tables.items() for row in rows]
