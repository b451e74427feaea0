"""The document of `crossover`: both curves and every crossing."""

from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.break_even import ClosedForms

Axis = Literal["batch", "context", "tokens", "skew", "sparsity"]
Cost = Literal["seconds", "tpot_seconds", "bytes_read", "bytes_per_gpu", "usd_per_million_output_tokens"]

_COST_LABELS: dict[Cost, str] = {
    "seconds": "decode step",
    "tpot_seconds": "TPOT",
    "bytes_read": "bytes read per step",
    "bytes_per_gpu": "bytes held per device",
    "usd_per_million_output_tokens": "USD per M output tokens",
}


class Costs(Frozen):
    """What one model costs at one point of the axis."""

    seconds: float
    """Seconds of a decode step; over `tokens`, of one feed-forward layer."""
    bytes_read: float
    """Bytes of weights and caches that the busiest device reads in that time."""
    tpot_seconds: float | None = None
    """Seconds per output token of a request (TPOT); None over `tokens`."""
    bytes_per_gpu: int | None = None
    """Bytes held on the busiest device; None over `tokens`."""
    usd_per_million_output_tokens: float | None = None
    """US dollars per million output tokens; None without a price."""
    fits: bool | None = None
    """Whether the model fits on the devices; None over `tokens`."""


class Point(Frozen):
    """Both models at one point of the axis."""

    at: float
    """Value on the axis."""
    a: Costs
    """Costs of the first model."""
    b: Costs
    """Costs of the second model."""
    refined: bool
    """Whether the point was added to narrow down a crossing; false for the points of the grid."""


class Crossing(Frozen):
    """A point of the axis at which the cheaper model changes."""

    cost: Cost
    """The cost in which it changes."""
    at: float
    """Value on the axis, interpolated between `low` and `high`."""
    low: float
    """Nearest computed point below the crossing."""
    high: float
    """Nearest computed point above the crossing."""
    cheaper_below: str
    """Id of the model that is cheaper below the crossing."""
    cheaper_above: str
    """Id of the model that is cheaper above the crossing."""
    unsure_low: float | None
    """From here to `unsure_high` the 80 % band of the ratio contains 1; None for bytes, which have no band."""
    unsure_high: float | None
    """Upper end of that range."""


class CrossoverReport(Document):
    """The cost curves of two models along an axis, every crossing, and closed forms beside them."""

    a: str
    """Id of the first model."""
    b: str
    """Id of the second model."""
    over: Axis
    """The axis: sequences in a batch, tokens of context, tokens in one feed-forward layer, exponent of a Zipf
    distribution over experts, or share of weights left out in the first model."""
    costs: list[Cost]
    """The costs that were compared."""
    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Number of accelerators."""
    placement_a: str
    """Parallelism of the first model."""
    placement_b: str
    """Parallelism of the second model."""
    points: list[Point]
    """All computed points, in the order of the axis."""
    crossings: list[Crossing]
    """Every crossing that was found."""
    closed_forms: ClosedForms | None
    """Thresholds from weights alone; None unless a mixture of experts is compared with a dense model."""
    text: list[str]
    """Sentences that are computed from the figures."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each point of both curves."""
        return [
            {self.over: point.at, **{k: v for k, v in point.to_dict().items() if k != "at"}} for point in self.points
        ]

    def label(self, cost: Cost) -> str:
        """What a cost is called in words."""
        return "feed-forward layer" if self.over == "tokens" and cost == "seconds" else _COST_LABELS[cost]
