"""Markdown: GitHub tables, then the sentences and the warnings."""

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.view import Grid
from sparsecalc.reports.views import view_of


def write(document: Document, width: int | None = None) -> str:
    """The document's view; whatever names and notes hold shows as it stands."""
    view = view_of(document)
    blocks = [*map(escape, [*view.head, *view.answer]), *map(markdown_table, view.grids), *map(escape, view.lines)]
    blocks += ["> " + escape(f"{note.code}: {note.with_model}") for note in document.warnings]
    return "\n\n".join(blocks) + "\n"


def markdown_table(grid: Grid) -> str:
    """A table as GitHub reads it."""
    alignment = [":--" if index < grid.left else "--:" for index in range(len(grid.headers))]
    rows = [" | ".join(map(escape, cells)) for cells in (grid.headers, *grid.rows)]
    head, *body = (f"| {row} |" for row in rows)
    return "\n".join([head, f"|{'|'.join(alignment)}|", *body])


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it stands; two leading spaces stay as an indent."""
    text = printable(text, 10_000)
    for old, new in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(old, new)
    for mark in "|[`":
        text = text.replace(mark, f"\\{mark}")
    return text.strip() if not text.startswith("  ") else "&nbsp;&nbsp;" + text.strip()
