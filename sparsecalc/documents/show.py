"""The document of `show`: everything that is said about one model."""

from dataclasses import field

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.results import Experts, Flops, LayerKind, Memory, Params, Prediction


class GridPoint(Frozen):
    """One point of a grid over accelerators, batch sizes and contexts."""

    accelerator: str
    num_gpus: int
    batch_size: int
    context_len: int
    fits: bool
    prefill_seconds: float
    decode_seconds: float
    decode_seconds_low: float
    decode_seconds_high: float
    bound: str
    tpot_seconds: float
    output_tokens_per_second_per_gpu: float
    usd_per_million_output_tokens: float | None


class ModelInfo(Frozen):
    """What the model is and where its figures come from."""

    id: str
    model_type: str
    kind: str
    num_hidden_layers: int
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    origin: str
    hub_id: str | None
    checked_by: str
    published_total: str | None
    published_active: str | None
    sources: list[str]


class ModelReport(Frozen):
    """Everything that is said about one model."""

    model: ModelInfo
    params: Params
    layers: list[LayerKind]
    experts: Experts | None
    flops: Flops
    memory: Memory
    prediction: Prediction | None = None
    """On the first accelerator that is named, at the first batch size and context."""
    grid: list[GridPoint] = field(default_factory=list)
    """Every accelerator, batch size and context, where several are named."""


class ShowReport(ModelReport, Document):
    """One model."""
