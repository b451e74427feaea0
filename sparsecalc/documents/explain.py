"""The documents of `explain`: a figure term by term, a step kernel by kernel."""

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


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
