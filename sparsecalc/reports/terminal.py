"""Tables for people, drawn by rich; never cut: cells fold on a narrow terminal, and a pipe gets the natural width."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.grids import Grid
from sparsecalc.reports.views import view

NATURAL_WIDTH = 100_000


def write(document: Document, width: int | None = None) -> str:
    """The document's view, `width` columns wide, or as wide as it needs where that is None (a pipe).

    Colours only for a terminal that wants them (rich honours NO_COLOR, FORCE_COLOR, TERM).
    """
    shown = view(document)
    out = io.StringIO()
    forced = True if width is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    console = Console(file=out, width=width or NATURAL_WIDTH, force_terminal=forced, markup=False, highlight=False)
    for grid in shown.grids:
        console.print(_table(grid))
        console.print()
    for line in [*shown.lines, *shown.foot]:
        console.print(Text(printable(line, 10_000)), soft_wrap=width is None)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _table(grid: Grid) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, header in enumerate(grid.headers):
        table.add_column(Text(printable(header)), justify="left" if index < grid.left else "right", overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(printable(cell, 1000)) for cell in row))
    return table


@contextmanager
def progress_bar(count: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr with the name of what is under way; call the result with each name."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("", total=count)
        done = -1

        def step(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, description=name)

        yield step
