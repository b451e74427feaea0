"""The document of `calibrate`: the calibration itself, what it was asked for, and where it was written."""

from sparsecalc.device.calibration import Calibration
from sparsecalc.documents.base import Document


class CalibrationReport(Calibration, Document):
    """A calibration and where it lies; as JSON it can be given back as one."""

    written: str
