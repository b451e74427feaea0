"""What people read of `explain`: the terms of a figure, and their sum."""

from sparsecalc.core import units
from sparsecalc.documents.explain import ExplainReport
from sparsecalc.reports.view import Grid, View


def view(document: ExplainReport) -> View:
    """A row for each term; the sum is the last line."""
    rows = [[line.label, line.formula, units.exact(line.value), line.source] for line in document.lines]
    grid = Grid(headers=["term", "formula", document.unit, "source"], rows=rows, left=2)
    total = f"{document.topic} = {units.exact(document.result)} {document.unit}"
    return View(grids=[grid], lines=[*document.text, total])
