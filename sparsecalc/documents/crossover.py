"""The document of `crossover`: both curves and every crossing."""

from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.break_even import ClosedForms

Axis = Literal["batch", "context", "tokens", "skew", "sparsity"]


class Costs(Frozen):
    """What one model costs at one point of the axis."""

    seconds: float
    """Of a decode step; over `tokens`, of one feed-forward layer."""
    bytes_read: float
    """Weights and caches that the busiest device reads in it."""
    tpot_seconds: float | None = None
    bytes_per_gpu: int | None = None
    usd_per_million_output_tokens: float | None = None
    fits: bool | None = None


Of = Literal["time", "memory", "dollars"]


Cost = Literal["seconds", "tpot_seconds", "bytes_read", "bytes_per_gpu", "usd_per_million_output_tokens"]


COSTS: dict[Of, tuple[Cost, ...]] = {
    "time": ("seconds", "tpot_seconds"),
    "memory": ("bytes_read", "bytes_per_gpu"),
    "dollars": ("usd_per_million_output_tokens",),
}


LABELS: dict[Cost, str] = {
    "seconds": "decode step",
    "tpot_seconds": "TPOT",
    "bytes_read": "bytes read per step",
    "bytes_per_gpu": "bytes held per device",
    "usd_per_million_output_tokens": "USD per M output tokens",
}


class Point(Frozen):
    """Both models at one point of the axis."""

    at: float
    a: Costs
    b: Costs
    refined: bool
    """Looked at to narrow a crossing down; else a point of the grid."""


class Crossing(Frozen):
    """A change of the cheaper model; `at` is interpolated between the nearest points on both sides, `low` and `high`.

    From `unsure_low` to `unsure_high` the ratio is within the 80 % band of the time model; None for bytes.
    """

    cost: Cost
    at: float
    low: float
    high: float
    cheaper_below: str
    cheaper_above: str
    unsure_low: float | None
    unsure_high: float | None


class CrossoverReport(Document):
    """Both curves, every crossing that was found, and the closed forms beside them."""

    a: str
    b: str
    over: Axis
    costs: list[Cost]
    accelerator: str
    num_gpus: int
    placement_a: str
    placement_b: str
    points: list[Point]
    crossings: list[Crossing]
    closed_forms: ClosedForms | None
    text: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The points of both curves: what CSV holds."""
        return [
            {self.over: point.at, **{k: v for k, v in point.to_dict().items() if k != "at"}} for point in self.points
        ]
