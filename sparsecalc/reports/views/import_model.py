"""What people read of `import`: the file that was written, and how the count compares with the checkpoint."""

from sparsecalc.core import units
from sparsecalc.documents.import_model import ImportReport
from sparsecalc.reports.view import Grid, View


def view(document: ImportReport) -> View:
    """A row for each explained difference; without a checkpoint, only the file."""
    rows = [[line.label, line.formula, units.exact(line.value)] for line in document.explained]
    grids = [Grid(headers=["difference", "why", "elements"], rows=rows, left=2)] if rows else []
    lines = [f"{document.model}: {document.counted_total:,} parameters by its config; written to {document.written}"]
    if document.stored_elements is not None:
        lines.append(f"The checkpoint stores {document.stored_elements:,} elements: {document.difference:+,}.")
        lines.append(f"Not explained: {document.unexplained:+,}.")
    return View(grids=grids, lines=lines)
