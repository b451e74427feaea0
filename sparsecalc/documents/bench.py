"""The document of `bench`."""

from typing import Any

from sparsecalc.documents.base import Document
from sparsecalc.documents.profile import Measurement


class BenchReport(Document):
    """A whole model generating tokens on this machine."""

    model: str
    """Id of the model."""
    environment: dict[str, Any]
    """Conditions of the measurement: device, versions, clocks, load."""
    layers: int
    """Layers that were run."""
    num_hidden_layers: int
    """Layers of the model."""
    measurements: list[Measurement]
    """The prompt and each further token, by engine."""
    lines: list[str]
    """A sentence for each measurement."""
    interrupted: bool = False
    """Whether the run was interrupted; it then holds what was measured until then."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each measurement."""
        return [row.to_dict() for row in self.measurements]
