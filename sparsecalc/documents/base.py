"""What all documents have in common."""

from dataclasses import field
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note


class Document(Frozen):
    """What every document has."""

    schema_version: Literal[1] = 1
    """Version of this contract: within it, keys keep their names and meanings, and more may be added."""
    command: str
    """The command that made the document."""
    inputs: dict[str, Any]
    """What was asked, defaults filled in."""
    warnings: list[Note] = field(default_factory=list)
    """What a reader of the figures must know."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A single row: everything but inputs and warnings.

        This is what CSV and JSON lines write. A document whose result is a list overrides it with a row for each entry.
        """
        return [{key: value for key, value in self.to_dict().items() if key not in ("inputs", "warnings")}]
