"""The document of `verify`."""

from dataclasses import field
from typing import Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.documents.explain import ExplainLine


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
