"""What people read of `profile --technique`: the speed-up by density and tokens, and the break-even."""

from sparsecalc.documents.sparse_kernels import SparseKernelReport
from sparsecalc.reports.grids import Grid, View


def sparse_kernel_view(document: SparseKernelReport) -> View:
    """A row per number of tokens and density."""
    cells = [
        [f"{row['tokens']:,}", f"{row['density']:g}"]
        + [f"{1e3 * row[name]:.3f}" for name in ("seconds", "dense_seconds")]
        + [f"{row['speedup']:.2f}x"]
        for row in document.rows
    ]
    headers = ["tokens", "density", "sparse ms", "dense ms", "speed-up"]
    dtype, seen = document.inputs["dtype"], document.environment
    lines = [
        f"{document.model}: {document.weight} in {dtype}, {document.technique} beside the dense product.",
        *(f"{found.tokens:,} tokens: as fast as dense {found.text}." for found in document.break_even),
        f"{seen['device_name']} ({seen['device']}), torch {seen['torch']}, {seen['threads']} threads.",
    ]
    return View(grids=[Grid(headers=headers, rows=cells)], lines=lines)
