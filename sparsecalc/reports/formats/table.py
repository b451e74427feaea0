"""Tables for people, drawn by rich; never cut: cells fold on a narrow terminal, and a pipe gets the natural width."""

import io
import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.view import Grid
from sparsecalc.reports.views import view_of

NATURAL_WIDTH = 100_000


def write(document: Document, width: int | None = None) -> str:
    """The document's view, `width` columns wide, or as wide as it needs where that is None (a pipe).

    Colours only for a terminal that wants them (rich honours NO_COLOR, FORCE_COLOR, TERM).
    """
    view = view_of(document)
    out = io.StringIO()
    forced = True if width is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    console = Console(file=out, width=width or NATURAL_WIDTH, force_terminal=forced, markup=False, highlight=False)

    def say(lines: list[str]) -> None:
        for line in lines:
            console.print(Text(printable(line, 10_000)), soft_wrap=width is None)

    say([*view.answer, ""] if view.answer else [])
    for grid in view.grids:
        console.print(_table(grid))
        console.print()
    say([*view.lines, *view.foot])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, header in enumerate(grid.headers):
        table.add_column(Text(printable(header)), justify="left" if index < grid.left else "right", overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(printable(cell, 1000)) for cell in row))
    return table
