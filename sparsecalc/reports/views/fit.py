"""What people read of `fit`: the answer, then a line for each model on each kind of device."""

from sparsecalc.core import units
from sparsecalc.documents.fit import FitReport, FitRow
from sparsecalc.reports.view import Grid, View


def view(document: FitReport) -> View:
    """The answer, and a table, best first."""
    headers = ["model", "on", "weights", "fits", "tokens/s (80 % band)", "largest context", "largest batch", "USD/h"]
    rows = [_cells(row) for row in document.rows]
    lines = [line for row in document.rows if row.command for line in _typed(row)]
    if document.rows_left_out:
        what = "smaller models were not looked at" if document.inputs["on"] else "more rows"
        lines.append(f"{document.rows_left_out:,} {what}: --limit 0 shows all.")
    return View(answer=document.text, grids=[Grid(headers=headers, rows=rows, left=4)], lines=lines)


def _typed(row: FitRow) -> list[str]:
    """The command, under what it serves."""
    head = f"{row.model} on {row.num_gpus} x {row.accelerator} in {row.dtype} ({row.engine}):"
    return [head, *(f"  {line}" for line in row.command.splitlines())]


def _cells(row: FitRow) -> list[str]:
    fits = "yes" if row.is_fast_enough else "yes, slow" if row.fits else "no"
    context, batch = row.largest_context_len, row.largest_batch_size
    return [
        f"{row.model} ({units.count(row.total_params)})",
        f"{row.num_gpus} x {row.accelerator} ({row.engine})",
        row.dtype or "-",
        fits,
        _speed(row),
        "-" if context is None else f"{context:,}",
        "-" if batch is None else f"{batch:,}",
        "-" if row.usd_per_hour is None else f"{row.usd_per_hour:,.2f}",
    ]


def _speed(row: FitRow) -> str:
    """Tokens per second of all sequences, with the band of the step's seconds."""
    if not (row.decode_seconds and row.decode_seconds_low and row.decode_seconds_high):
        return "-"
    mean, high, low = (
        row.batch_size / seconds for seconds in (row.decode_seconds, row.decode_seconds_low, row.decode_seconds_high)
    )
    return f"{mean:,.1f} ({low:,.1f} to {high:,.1f})"
