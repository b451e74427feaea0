"""What people read of `models` and `gpus`: the list as it is."""

from sparsecalc.documents.lists import ListReport
from sparsecalc.reports.view import Grid, View


def view(document: ListReport) -> View:
    """A row for each entry, a column for each key."""
    headers = list(document.rows[0]) if document.rows else []
    rows = [["" if value is None else str(value) for value in row.values()] for row in document.rows]
    return View(grids=[Grid(headers=headers, rows=rows, left=2)])
