"""JSON lines: one row of the document to a line, for tools that read a table (jq, DuckDB, pandas)."""

import json

from sparsecalc.documents.base import Document


def write(document: Document, width: int | None = None) -> str:
    """Each row as an object, nested fields and lists as they are. Raises ValueError for a number that is not finite."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in document.to_rows())
