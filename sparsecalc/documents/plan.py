"""The document of `plan`: which accelerators, how many, in which layout and precision, for a load and its targets."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class Candidate(Frozen):
    """One way to serve the load; its times are those of `show` with this layout at `batch_size` requests in flight."""

    model: str
    """Id of the model."""
    checkpoint: str
    """The published repository in this precision, or the model as it was named."""
    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Accelerators of all replicas together: tp * pp * dp * replicas."""
    tp: int
    """Tensor-parallel devices of one replica."""
    ep: int
    """Ranks of expert parallelism of one replica."""
    pp: int
    """Pipeline stages of one replica."""
    dp: int
    """Copies of the attention in one replica, each with its own sequences."""
    replicas: int
    """Servers beside each other, each with an equal share of the requests."""
    dtype: str
    """Number format of the weights."""
    batch_size: int
    """Requests in flight on one replica."""
    fits: bool
    """Whether the engine holds them all at once, prompt and answer; true of everything that is listed."""
    tpot_seconds: float
    """Seconds per output token of a request (TPOT), mean."""
    tpot_seconds_low: float
    """Lower end of its 80 % band."""
    tpot_seconds_high: float
    """Upper end of its 80 % band."""
    ttft_seconds: float
    """Seconds to the first token of a request (TTFT), mean."""
    output_tokens_per_second: float
    """Output tokens per second of all replicas."""
    output_tokens_per_second_per_gpu: float
    """The same, of one accelerator."""
    usd_per_hour: float | None
    """US dollars per hour of all accelerators; None without a price."""
    usd_per_million_output_tokens: float | None
    """US dollars per million output tokens; None without a price."""
    bound: str
    """What most of a decode step is spent on."""
    on_front: bool
    """Whether no other one that is listed is better in tokens per second of a user or of a device, and in neither
    worse."""
    tied: bool
    """Whether what it is sorted by differs from the recommended one's by less than the 80 % band of a ratio."""
    command: str
    """The command line that starts one replica; empty for an engine whose options are not known."""

    @property
    def layout(self) -> str:
        """`tp 8, dp 2`, without what is 1."""
        parts = [f"{name} {getattr(self, name)}" for name in ("tp", "pp", "dp", "ep") if getattr(self, name) > 1]
        return ", ".join(parts) or "one device"


class NearMiss(Frozen):
    """What was not taken, and why."""

    model: str
    """Id of the model."""
    accelerator: str
    """Id of the accelerator."""
    reason: str
    """`format`, `memory`, `tpot`, `ttft`, `rate`, `budget`, `not-replayed`, `dominated`, or `tied`: dominated, but
    within the band of the recommended one."""
    text: str
    """By how much, in a sentence."""


class PlanResult(Frozen):
    """The recommended way to serve one model or several, what else is worth a look, and why the rest is not."""

    recommended: Candidate | None
    """The first of the candidates; None where nothing meets the targets."""
    candidates: list[Candidate]
    """What meets the targets and is not worse than another one in everything: tokens per second of a user and of a
    device, and dollars per token. In the order that was asked for."""
    near_misses: list[NearMiss]
    """The nearest of each accelerator that has no candidate, and those that a candidate beats in everything."""
    rejected: dict[str, int]
    """Layouts that were left out, by reason; of `format` checkpoints on accelerators. `not-replayed`: behind the
    candidates by the closed formula."""
    searched: int
    """Layouts that were looked at, each number of replicas counted."""


class PlanReport(Document):
    """Which accelerators, how many, and in which layout and precision."""

    plan: PlanResult
    """What was found."""
    text: list[str]
    """Sentences that are computed from the figures; the first is the answer."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each candidate."""
        return [candidate.to_dict() for candidate in self.plan.candidates]
