"""The document of `simulate`: one model or several under a traffic."""

from dataclasses import field
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.replay.results import Simulation


class SimulatedModel(Frozen):
    """One model's server under the traffic."""

    model: str
    """Id of the model."""
    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Accelerators of all servers together."""
    placement: str
    """Parallelism of one server, such as `tp 4`."""
    engine: str
    """Id of the engine whose scheduler is replayed."""
    weights_dtype: str
    """Number format of the weights."""
    max_num_seqs: int
    """Sequences that run at once at most, on each copy of the attention."""
    max_num_batched_tokens: int
    """Tokens of one step at most."""
    simulation: Simulation
    """What became of the requests."""
    rate: float | None = None
    """Requests per second that arrive; None in a closed loop and of a trace."""
    highest_rate: float | None = None
    """With `--find-rate`: requests per second up to which the targets are kept; None: at none, or not asked."""
    why: str = ""
    """Why there is no such rate, or none that the requests could tell."""


class SimulationRatio(Frozen):
    """One model's figures divided by the first model's; means of times."""

    model: str
    """Id of the model."""
    accelerator: str
    """Id of the accelerator."""
    to: str
    """Id of the first model, whose figures on the first accelerator are the base, at the same rate."""
    ttft_seconds: float
    """Ratio of the times to the first token."""
    tpot_seconds: float | None
    """Ratio of the times per output token."""
    e2e_seconds: float
    """Ratio of the times to the last token."""
    output_tokens_per_second: float
    """Ratio of the throughputs."""
    usd_per_million_output_tokens: float | None
    """Ratio of the prices; None without a price."""
    highest_rate: float | None
    """Ratio of the highest rates; None where they are not asked."""


class SimulateReport(Document):
    """One model or several under a traffic, with ratios to the first."""

    models: list[SimulatedModel]
    """The models, in the order in which they were named."""
    ratios: list[SimulationRatio] = field(default_factory=list)
    """Each model's figures over the first one's; empty for a single model."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each model."""
        return [model.to_dict() for model in self.models]
