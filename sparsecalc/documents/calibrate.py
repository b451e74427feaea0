"""The document of `calibrate`: the calibration itself, what it was asked for, and where it was written."""

from typing import Any

from sparsecalc.device.calibration import Calibration
from sparsecalc.documents.base import Document


class CalibrationReport(Calibration, Document):
    """A calibration, and the file that it was written to; this JSON can itself be used as a calibration file."""

    written: str
    """Path of the calibration file; empty where none was asked for."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each benchmark, or each measured load of a server or test of a machine."""
        return list(self.anchor.get("rows") or self.anchor["tests"]) if self.anchor else self.rows
