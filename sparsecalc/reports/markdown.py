"""Markdown: GitHub tables, then the sentences and the warnings."""

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.grids import Grid
from sparsecalc.reports.views import view


def write(document: Document, width: int | None = None) -> str:
    """The document's view; names and notes show as they stand, whatever they hold."""
    shown = view(document)
    blocks = [*map(_escape, shown.head), *map(_markdown_grid, shown.grids)]
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
