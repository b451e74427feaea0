"""What people read of `bench`: a row for the prompt and one for each further token, by engine."""

from sparsecalc.documents.bench import BenchReport
from sparsecalc.reports.view import Grid, View
from sparsecalc.reports.views.profile import HEADERS, cells, conditions


def view(document: BenchReport) -> View:
    """One table, the measurements in words, and the conditions."""
    rows = [[f"{row.phase}, {row.method}", *cells(row)] for row in document.measurements]
    head = f"{document.model}: {document.layers} of {document.num_hidden_layers} layers generate."
    grids = [Grid(headers=["", *HEADERS], rows=rows)] if rows else []
    return View(grids=grids, lines=[head, *document.lines, *conditions(document)])
