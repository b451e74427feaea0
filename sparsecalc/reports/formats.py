"""One function per output format, and the one registry of them."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.report import CompareReport, Document, ExplainReport, ListReport, VerifyReport
from sparsecalc.reports.views import Grid, View, view


def as_json(document: Document, width: int | None = None) -> str:
    """The whole document: SI units, full precision, the field names of the contract; all in ASCII."""
    return json.dumps(document.to_dict(), indent=2, allow_nan=False) + "\n"


def as_csv(document: Document, width: int | None = None) -> str:
    """One row per result; nested fields get dotted names, lists are left to JSON."""
    if isinstance(document, CompareReport):
        rows: Iterable[Any] = [model.to_dict() for model in document.models]
    elif isinstance(document, ExplainReport):
        rows = [line.to_dict() for line in document.lines]
    elif isinstance(document, VerifyReport):
        rows = [result.to_dict() for result in document.results]
    elif isinstance(document, ListReport):
        rows = document.rows
    else:
        rows = [{key: value for key, value in document.to_dict().items() if key not in ("inputs", "warnings")}]
    flat = [dict(_flatten(row)) for row in rows]
    found = dict.fromkeys(key for row in flat for key in row)
    parents = {key.rpartition(".")[0] for key in found}
    out = io.StringIO()
    columns = [key for key in found if key not in parents]
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flatten(row: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield prefix + key, printable(value, 1000) if isinstance(value, str) else value


def as_markdown(document: Document, width: int | None = None) -> str:
    """GitHub tables, then the sentences and the warnings."""
    shown = view(document)
    blocks = [_markdown_grid(grid) for grid in shown.grids]
    blocks += [_escape(line) for line in shown.lines]
    for warn in document.warnings:
        about = f"{warn.model}: " if warn.model else ""
        blocks.append("> " + _escape(f"{warn.code}: {about}{warn.text}"))
    return "\n\n".join(blocks) + "\n"


def _markdown_grid(grid: Grid) -> str:
    lines = ["| " + " | ".join(_escape(cell) for cell in grid.headers) + " |"]
    lines.append("|" + "|".join(":--" if i < grid.left else "--:" for i in range(len(grid.headers))) + "|")
    lines += ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in grid.rows]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text that markdown and HTML show as it stands."""
    text = printable(text, 10_000)
    for old, new in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(old, new)
    for mark in "|[`":
        text = text.replace(mark, f"\\{mark}")
    return text.strip() if not text.startswith("  ") else "&nbsp;&nbsp;" + text.strip()


def as_table(document: Document, width: int | None = None) -> str:
    """Tables for a terminal: `width` columns, or as wide as they need where it is None (a pipe)."""
    from sparsecalc.reports.terminal import draw

    shown: View = view(document)
    return draw(shown, width)


FORMATS: dict[str, Callable[[Document, int | None], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "json": as_json,
    "csv": as_csv,
}


def render(document: Document, name: str, width: int | None = None) -> str:
    """The document in the format `name`. Raises InputError for an unknown one."""
    check_format(name)
    return FORMATS[name](document, width)


def check_format(name: str) -> None:
    """Raises InputError where there is no such format."""
    if name not in FORMATS:
        hint = f"Known: {', '.join(FORMATS)}" + did_you_mean(name, FORMATS)
        raise InputError(f"unknown format {brief(name)}", hint=hint)
