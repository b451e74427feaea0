"""The document of `verify`."""

from dataclasses import field
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.documents.explain import ExplainLine


class Pair(Frozen):
    """A predicted figure beside the real one."""

    predicted: int
    """By sparsecalc."""
    actual: int
    """Of the real model or checkpoint."""


class FlopsPair(Frozen):
    """Predicted and counted FLOPs of the step that differs the most."""

    predicted: int
    """FLOPs by sparsecalc."""
    counted: int
    """FLOPs by torch's counter."""
    relative_error: float
    """Sum over components of |predicted - counted|, divided by the counted FLOPs of the step."""


class Verdict(Frozen):
    """One figure of one component."""

    figure: str
    """What is compared."""
    predicted: int
    """By sparsecalc."""
    actual: int
    """Of the real model."""

    @property
    def exact(self) -> bool:
        """Whether the two are the same to the unit."""
        return self.predicted == self.actual


class StoredFormat(Frozen):
    """What a checkpoint stores in one dtype."""

    dtype: str
    """The dtype, as safetensors headers name it."""
    tensors: int
    """Number of tensors."""
    elements: int
    """Number of elements."""
    bytes: int
    """Bytes."""


class Checkpoint(Frozen):
    """The safetensors headers of a checkpoint, held against the model's counts."""

    repo_id: str
    """Id of the Hub repository."""
    params: Pair
    """Predicted: parameters of the model; actual: all elements that the checkpoint stores."""
    weights_bytes: Pair
    """Predicted: bytes of the weights; actual: bytes of the stored tensors that hold them, with their scales."""
    weights_dtype: str
    """Number format of the weights."""
    by_dtype: list[StoredFormat]
    """What is stored, by dtype."""
    explained: list[ExplainLine]
    """The parts of the difference of elements that have a known reason."""
    unexplained: int
    """The rest of the difference, in elements."""

    @property
    def doubt(self) -> str:
        """What an unexplained difference means."""
        return f"{self.unexplained:+,} stored elements are not explained: the count or the config may be wrong"


class VerifyResult(Frozen):
    """One model held against its real architecture."""

    model: str
    """Id of the model."""
    status: Literal["exact", "differs", "unsupported"]
    """Whether every figure is exact; unsupported: transformers cannot build the model."""
    reason: str = ""
    """Why it is unsupported."""
    params: Pair | None = None
    """Parameters."""
    active: Pair | None = None
    """Parameters that one token uses."""
    flops: FlopsPair | None = None
    """FLOPs; None where no forward pass could be counted."""
    kv_cache: Pair | None = None
    """Bytes of the KV cache in bf16 after the longest prompt, over all layers."""
    state: Pair | None = None
    """Elements of the recurrent state, over all layers."""
    verdicts: list[Verdict] = field(default_factory=list)
    """Every figure: parameters by component, FLOPs by step and component, caches."""
    named: list[str] = field(default_factory=list)
    """What was left out of the comparison, and what the model holds beside its parameters (buffers, tied tables)."""
    checkpoint: Checkpoint | None = None
    """The checkpoint of a Hub repository, where it was asked for."""


class VerifyReport(Document):
    """Models held against the architectures that transformers builds from the same configs."""

    results: list[VerifyResult]
    """One result for each model."""
    summary: str
    """How many are exact, differ, or are counted by formula only."""
    environment: dict[str, str]
    """Versions of python, torch and transformers."""
    prompt_lens: list[int]
    """Tokens of the two prompts whose FLOPs are counted; the second is longer where a window would hold all of it."""
    flops_tolerance: float
    """Largest relative error of FLOPs that counts as exact."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each model."""
        return [result.to_dict() for result in self.results]
