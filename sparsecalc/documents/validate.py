"""The document of `validate`: errors by group, and every measurement beside its prediction."""

from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document

Source = Literal["kernels", "steps", "desk", "serving", "ttft", "mlperf", "replay"]


class Check(Frozen):
    """One measured time beside the predicted one."""

    source: Source
    """What was measured: kernels, steps with a fixed batch, those of consumer machines (desk), serving runs, TTFT,
    MLPerf, or whole runs."""
    what: str
    """Class of the kernel and form of its operands, or phase of the step."""
    model: str
    """Id of the model; empty for kernels."""
    gpu: str
    """Id of the accelerator."""
    engine: str
    """Id of the engine."""
    where: str
    """Shape of the kernel; else number format, placement and load."""
    measured_seconds: float
    """Measured time."""
    predicted_seconds: float
    """Predicted time."""
    seconds_low: float
    """Lower end of the prediction's 80 % band."""
    seconds_high: float
    """Upper end of the prediction's 80 % band."""
    fitted: bool = False
    """Whether the engine's profile was fitted to this row, among others."""
    quality: str = "A"
    """A: all conditions are stated; B: lengths are defaults, or the figure is second-hand."""
    sparse: bool = False
    """Whether the model is a mixture of experts."""
    contradicted: bool = False
    """Whether other measurements of the same configuration differ by more than a factor of 1.6."""
    apart: str = ""
    """Why the time is not that of a step with so many sequences: requests queue, run in waves, or beat the roofline."""

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_seconds / self.measured_seconds - 1

    @property
    def inside(self) -> bool:
        """Whether the measured time lies in the 80 % band."""
        return self.seconds_low <= self.measured_seconds <= self.seconds_high


class Accuracy(Frozen):
    """Errors of a group of rows, |predicted / measured - 1|, as fractions: 0.1 is 10 %."""

    group: str
    """Name of the group."""
    rows: int
    """Number of rows."""
    mean_error: float
    """Mean error."""
    median_error: float
    """Median error."""
    p90_error: float
    """90th percentile of the errors."""
    bias: float
    """Median of predicted / measured - 1, with its sign."""
    coverage: float | None = None
    """Share of rows whose measured time lies in the 80 % band of the prediction, 0 to 1."""


class AccuracyTable(Frozen):
    """Groups of rows of one kind."""

    id: str
    """Key of the table."""
    title: str
    """Title of the table."""
    note: str
    """What to know about its rows."""
    groups: list[Accuracy]
    """The groups."""


class Peer(Frozen):
    """Errors that the authors of other tools publish, in per cent of the measured time."""

    name: str
    """Name of the tool."""
    what: str
    """What its errors are of."""
    mean_percent: float | None
    """Mean error in per cent."""
    median_percent: float | None
    """Median error in per cent."""
    p90_percent: float | None
    """90th percentile of the errors in per cent."""
    source: str
    """Where they are published."""


class ValidateReport(Document):
    """Predictions beside the measurements that ship with the package."""

    tables: list[AccuracyTable]
    """Errors by group."""
    peers: list[Peer]
    """Errors that others publish."""
    checks: list[Check]
    """Every measurement beside its prediction."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each measurement."""
        return [check.to_dict() for check in self.checks]
