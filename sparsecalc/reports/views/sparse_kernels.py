"""What people read of `profile --technique`: the speed-up by density and tokens, and the break-even."""

from sparsecalc.documents.sparse_kernels import SparseKernelReport
from sparsecalc.reports.view import Grid, View


def view(document: SparseKernelReport) -> View:
    """A row for each number of tokens and density."""
    rows = [
        [f"{row['tokens']:,}", f"{row['density']:g}"]
        + [f"{1e3 * row[name]:.3f}" for name in ("seconds", "dense_seconds")]
        + [f"{row['speedup']:.2f}x"]
        for row in document.rows
    ]
    dtype, seen = document.inputs["dtype"], document.environment
    lines = [
        f"{document.model}: {document.weight} in {dtype}, {document.technique} beside the dense product.",
        *(f"{even.tokens:,} tokens: as fast as dense {even.text}." for even in document.break_even),
        f"{seen['device_name']} ({seen['device']}), torch {seen['torch']}, {seen['threads']} threads.",
    ]
    return View(
        grids=[Grid(headers=["tokens", "density", "sparse ms", "dense ms", "speed-up"], rows=rows)], lines=lines
    )
