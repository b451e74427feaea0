"""CSV: one row of the document to a line; nested fields get dotted names, lists are left to JSON."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document


def write(document: Document, width: int | None = None) -> str:
    """A header and the rows; a row without some column leaves its cell empty."""
    rows = [dict(_flatten(row)) for row in document.to_rows()]
    names = dict.fromkeys(name for row in rows for name in row)
    parents = {name.rpartition(".")[0] for name in names}
    columns = [name for name in names if name not in parents]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _flatten(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` -> `a.b`, 1."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield prefix + key, printable(value, 1000) if isinstance(value, str) else value
