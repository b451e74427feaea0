"""The document of `validate`: errors by group, and every measurement beside its prediction."""

from typing import Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document

Source = Literal["kernels", "steps", "serving", "ttft"]


class Check(Frozen):
    """One measured time beside the predicted one."""

    source: Source
    what: str
    """Class of the kernel and form of its operands, or phase of the step."""
    model: str
    gpu: str
    engine: str
    where: str
    """Shape, or format, placement, load."""
    measured_seconds: float
    predicted_seconds: float
    seconds_low: float
    seconds_high: float
    fitted: bool = False
    """The engine's profile was fitted to this row, among others."""
    quality: str = "A"
    """B: lengths are defaults, or the figure is second-hand."""
    sparse: bool = False
    """The model is a mixture of experts."""
    contradicted: bool = False
    """The same configuration was measured with times that differ by more than 1.6x."""

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_seconds / self.measured_seconds - 1

    @property
    def inside(self) -> bool:
        """Whether the measured time lies in the 80 % band."""
        return self.seconds_low <= self.measured_seconds <= self.seconds_high


class Accuracy(Frozen):
    """Errors |predicted / measured - 1| of a group of rows, as shares of 1."""

    group: str
    rows: int
    mean_error: float
    median_error: float
    p90_error: float
    bias: float
    """Median of predicted / measured - 1, with its sign."""
    coverage: float | None = None
    """Share of the rows whose measured time lies in the predicted 80 % band."""


class AccuracyTable(Frozen):
    """Groups of rows of one kind."""

    id: str
    title: str
    note: str
    groups: list[Accuracy]


class Peer(Frozen):
    """What others publish of their errors, in per cent."""

    name: str
    what: str
    mean_percent: float | None
    median_percent: float | None
    p90_percent: float | None
    source: str


class ValidateReport(Document):
    """All tables, the peers' errors, and each measurement beside its prediction."""

    tables: list[AccuracyTable]
    peers: list[Peer]
    checks: list[Check]
