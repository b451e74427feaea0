"""The documents that commands return, as the JSON contract names them."""

from dataclasses import field
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note


class Document(Frozen):
    """What every document has."""

    schema_version: Literal[1] = 1
    command: str
    inputs: dict[str, Any]
    warnings: list[Note] = field(default_factory=list)
