"""The document of `models` and `gpus`."""

from typing import Any

from sparsecalc.documents.base import Document


class ListReport(Document):
    """A list of models, families or accelerators."""

    rows: list[dict[str, Any]]
    """An object for each entry, all with the same keys."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each entry."""
        return self.rows
