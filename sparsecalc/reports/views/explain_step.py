"""What people read of `explain MODEL decode|prefill`: the kernels of a step."""

from sparsecalc.core import units
from sparsecalc.documents.explain_step import StepLine, StepReport
from sparsecalc.reports.view import Grid, View

HEADERS = ["kernel", "layers", "FLOPs", "weights", "cache", "activations", "time", "share", "bound by"]


def view(document: StepReport) -> View:
    """A row for each kernel: what it computes, moves and takes; the step's time is the last line."""
    costs = sorted(document.by_bound.items(), key=lambda item: -item[1])
    spent = ", ".join(f"{name} {units.duration(seconds)}" for name, seconds in costs if seconds > 0)
    total = units.band(document.seconds, document.seconds_low, document.seconds_high)
    grid = Grid(headers=HEADERS, rows=[_row(line) for line in document.lines])
    return View(grids=[grid], lines=[*document.text, f"{document.topic} = {total}, 80 % band; spent on: {spent}."])


def _row(line: StepLine) -> list[str]:
    return [
        f"{line.group}: {line.name}" if line.group else line.name,
        f"{line.layers:g}",
        units.flops(line.flops),
        units.nbytes(line.weight_bytes),
        units.nbytes(line.cache_bytes),
        units.nbytes(line.activation_bytes),
        units.duration(line.seconds),
        f"{line.share:.1%}",
        line.bound,
    ]
