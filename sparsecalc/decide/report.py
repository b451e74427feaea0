"""The documents that commands return, as the JSON contract names them."""

from dataclasses import field
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.estimate.results import ModelReport, Warn


class Document(Frozen):
    """What every document has."""

    schema_version: Literal[1] = 1
    command: str
    inputs: dict[str, Any]
    warnings: list[Warn] = field(default_factory=list)


class ShowReport(ModelReport, Document):
    """One model."""


class Ratio(Frozen):
    """One model's figures divided by the first model's; None where that figure is zero."""

    model: str
    to: str
    total: float | None
    active: float | None
    prefill_flops_per_token: float | None
    decode_flops_per_token: float | None
    weights_bytes: float | None
    kv_cache_bytes_per_token: float | None
    total_bytes: float | None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    decode_seconds_low: float | None = None
    decode_seconds_high: float | None = None
    tpot_seconds: float | None = None
    usd_per_million_output_tokens: float | None = None


class CompareReport(Document):
    """Several models side by side, their ratios to the first, and the conclusion in words."""

    models: list[ModelReport]
    ratios: list[Ratio]
    conclusion: list[str]


class ExplainLine(Frozen):
    """One term of a sum: what it is, the formula with the model's numbers, its value."""

    label: str
    formula: str
    value: int | float
    source: str = ""


class ExplainReport(Document):
    """How a figure comes about, line by line; `result` is the figure that `show` prints."""

    model: str
    topic: str
    unit: str
    text: list[str]
    lines: list[ExplainLine]
    result: int | float


class StepLine(Frozen):
    """One kernel of a step, in all its layers."""

    name: str
    component: str
    group: str
    layers: float
    flops: float
    weight_bytes: float
    cache_bytes: float
    activation_bytes: float
    seconds: float
    share: float
    bound: str
    compute_share: float
    """ec of the formula; what `bandwidth_share` (em) and `overhead_seconds` (t0) are to bytes and launches."""
    bandwidth_share: float
    overhead_seconds: float
    origin: str


class StepReport(Document):
    """A step's seconds, kernel by kernel."""

    model: str
    topic: str
    text: list[str]
    lines: list[StepLine]
    seconds: float
    seconds_low: float
    seconds_high: float
    by_bound: dict[str, float]


class ListReport(Document):
    """Rows of a list of models, accelerators or families."""

    rows: list[dict[str, Any]]


class ImportReport(Document):
    """What an import read, wrote and found different."""

    model: str
    written: str
    counted_total: int
    stored_elements: int | None
    difference: int | None
    explained: list[ExplainLine]
    unexplained: int | None


class Pair(Frozen):
    """A predicted figure beside the real one."""

    predicted: int
    actual: int


class FlopsPair(Frozen):
    """Predicted and counted FLOPs, the worst of all steps that were run."""

    predicted: int
    counted: int
    relative_error: float


class Verdict(Frozen):
    """One figure of one component: what the ledger says, what the architecture has."""

    figure: str
    predicted: int
    actual: int

    @property
    def exact(self) -> bool:
        """Whether the two are the same to the unit."""
        return self.predicted == self.actual


class StoredFormat(Frozen):
    """What a checkpoint stores in one dtype, as safetensors headers name it."""

    dtype: str
    tensors: int
    elements: int
    bytes: int


class Checkpoint(Frozen):
    """A checkpoint's safetensors headers held against the ledger."""

    repo_id: str
    params: Pair
    """Parameters by the ledger; elements as they are stored, of everything in the checkpoint."""
    weights_bytes: Pair
    """Bytes by the ledger; bytes of the stored tensors that hold counted parameters, with their scales."""
    weights_dtype: str
    by_dtype: list[StoredFormat]
    explained: list[ExplainLine]
    """The difference of elements, by its reasons."""
    unexplained: int

    @property
    def doubt(self) -> str:
        """What an unexplained difference means."""
        return f"{self.unexplained:+,} stored elements are not explained: the count or the config may be wrong"


class VerifyResult(Frozen):
    """One model held against its real architecture."""

    model: str
    status: Literal["exact", "differs", "unsupported"]
    reason: str = ""
    params: Pair | None = None
    active: Pair | None = None
    flops: FlopsPair | None = None
    kv_cache: Pair | None = None
    state: Pair | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    """Parameters by component, FLOPs by component and step, caches."""
    named: list[str] = field(default_factory=list)
    """What was left out of a comparison, and what stands beside the parameters (buffers, tied tables)."""
    checkpoint: Checkpoint | None = None
    """The third witness, where a Hub repository's headers were asked for."""


class VerifyReport(Document):
    """Models held against their real architectures."""

    results: list[VerifyResult]
    summary: str
    environment: dict[str, str]
