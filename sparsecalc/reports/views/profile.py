"""What people read of `profile`: a table for each step, how it was extrapolated, and the conditions."""

from itertools import groupby

from sparsecalc.core import units
from sparsecalc.documents.bench import BenchReport
from sparsecalc.documents.profile import Measurement, ProfileReport
from sparsecalc.reports.view import Grid, View

HEADERS = ["layers", "ms", "p10 - p90", "predicted", "predicted/measured", "FLOP/s", "bytes/s", "tokens/s"]


def view(document: ProfileReport) -> View:
    """A table for each phase and size."""
    grids = [_step(step, list(rows)) for step, rows in groupby(document.measurements, _step_of)]
    kinds = ", ".join(f"{n['measured']} of {n['count']} {kind}" for kind, n in document.layers_measured.items())
    lines = [f"{document.model}: measured {kinds}. Whole model, in ms:", *document.formulas]
    lines += _expert_lines(document.measurements) + _memory_lines(document.measurements)
    return View(grids=grids, lines=[*lines, *conditions(document)])


def cells(row: Measurement) -> list[str]:
    """A measurement in the columns of HEADERS."""
    predicted = row.predicted_seconds
    return [
        str(row.layers or ""),
        f"{1e3 * row.median_seconds:.3f}",
        f"{1e3 * row.p10_seconds:.3f} - {1e3 * row.p90_seconds:.3f}",
        "" if predicted is None else f"{1e3 * predicted:.3f}",
        "" if predicted is None or not row.median_seconds else f"{predicted / row.median_seconds:.2f}",
        _rate(row.achieved_flops_per_second, row.share_of_peak_flops),
        _rate(row.achieved_bytes_per_second, row.share_of_bandwidth),
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.1f}",
    ]


def conditions(document: ProfileReport | BenchReport) -> list[str]:
    """Device and versions; samples that were left out; whether the run was interrupted."""
    seen = document.environment
    experts = f", experts {seen['experts_implementation']}" if seen["experts_implementation"] else ""
    lines = [
        f"On {seen['device_name']} ({seen['device']}, {seen['threads']} threads), torch {seen['torch']}, transformers"
        f" {seen['transformers']}, {seen['dtype']}; attention {seen['attention_implementation']}{experts}."
    ]
    rejected = sum(row.rejected_samples for row in document.measurements if row.component in ("step", "model"))
    if rejected:
        lines.append(f"{rejected} samples were left out because the process was preempted.")
    if document.interrupted:
        lines.append("Interrupted: this is what was measured until then.")
    return lines


def _step_of(row: Measurement) -> tuple[str, int, int]:
    return row.phase, row.batch_size, row.context_len


def _step(step: tuple[str, int, int], rows: list[Measurement]) -> Grid:
    phase, batch, context = step
    title = f"{phase}, batch {batch}, context {context:,}"
    return Grid(headers=[title, *HEADERS], rows=[[_label(row), *cells(row)] for row in rows])


def _label(row: Measurement) -> str:
    name = f"{row.component} ({row.method})" if row.component == "step" else row.component
    if row.component == "layer":
        return f"one {row.kind}"
    return f"  {name}" if row.kind or row.component not in ("model", "step", "rest") else name


def _rate(per_second: float | None, share: float | None) -> str:
    text = "" if per_second is None else units.count(per_second)
    return text if share is None else f"{text} ({100 * share:.0f} %)"


def _expert_lines(rows: list[Measurement]) -> list[str]:
    return [
        f"{_point(row)}: {row.distinct_experts:.2f} distinct experts in a layer"
        f" ({row.expected_distinct_experts:.2f} expected)"
        for row in rows
        if row.component == "layer" and row.distinct_experts is not None and row.expected_distinct_experts is not None
    ]


def _memory_lines(rows: list[Measurement]) -> list[str]:
    return [
        f"{_point(row)}: {units.nbytes(row.peak_memory_bytes)} at the peak"
        f" ({units.nbytes(row.predicted_memory_bytes)} predicted)"
        for row in rows
        if row.component == "step" and row.peak_memory_bytes is not None and row.predicted_memory_bytes is not None
    ]


def _point(row: Measurement) -> str:
    return f"{row.phase}, batch {row.batch_size}, context {row.context_len}"
