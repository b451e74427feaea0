"""What people read of `profile` and `bench`: a table per point, how it was extrapolated, and the conditions."""

from itertools import groupby

from sparsecalc.core import units
from sparsecalc.documents.profile import BenchReport, Measurement, ProfileReport
from sparsecalc.reports.grids import Grid, View

HEADERS = ["ms", "p10 - p90", "predicted", "predicted/measured", "FLOP/s", "bytes/s", "tokens/s"]


def profile_view(document: ProfileReport) -> View:
    """A table for each phase and size."""
    grids = []
    for (phase, batch, context), rows in groupby(document.measurements, _point):
        found = list(rows)
        title = f"{phase}, batch {batch}, context {context:,}"
        grids.append(Grid(headers=[title, "layers", *HEADERS], rows=[[_label(m), *_cells(m)] for m in found]))
    kinds = ", ".join(f"{n['measured']} of {n['count']} {kind}" for kind, n in document.layers_measured.items())
    lines = [f"{document.model}: measured {kinds}. Whole model, in ms:", *document.formulas]
    lines += _expert_lines(document.measurements) + _memory_lines(document.measurements)
    return View(grids=grids, lines=[*lines, *_conditions(document), *_end(document.interrupted)])


def bench_view(document: BenchReport) -> View:
    """A row for the prompt and one for each further token, by engine."""
    rows = [[f"{m.phase}, {m.method}", *_cells(m)] for m in document.measurements]
    lines = [f"{document.model}: {document.layers} of {document.num_hidden_layers} layers generate."]
    grids = [Grid(headers=["", "layers", *HEADERS], rows=rows)] if rows else []
    return View(grids=grids, lines=[*lines, *document.lines, *_conditions(document), *_end(document.interrupted)])


def _point(row: Measurement) -> tuple[str, int, int]:
    return row.phase, row.batch_size, row.context_len


def _label(row: Measurement) -> str:
    name = f"{row.component} ({row.method})" if row.component == "step" else row.component
    if row.component == "layer":
        return f"one {row.kind}"
    return f"  {name}" if row.kind or row.component not in ("model", "step", "rest") else name


def _cells(row: Measurement) -> list[str]:
    guess = row.predicted_seconds

    def rate(value: float | None, share: float | None, unit: str) -> str:
        text = "" if value is None else f"{units.count(value)}{unit}"
        return text if share is None else f"{text} ({100 * share:.0f} %)"

    return [
        str(row.layers or ""),
        f"{1e3 * row.median_seconds:.3f}",
        f"{1e3 * row.p10_seconds:.3f} - {1e3 * row.p90_seconds:.3f}",
        "" if guess is None else f"{1e3 * guess:.3f}",
        "" if guess is None or not row.median_seconds else f"{guess / row.median_seconds:.2f}",
        rate(row.achieved_flops_per_second, row.share_of_peak_flops, ""),
        rate(row.achieved_bytes_per_second, row.share_of_bandwidth, ""),
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.1f}",
    ]


def _expert_lines(rows: list[Measurement]) -> list[str]:
    return [
        f"{row.phase}, batch {row.batch_size}, context {row.context_len}: {row.distinct_experts:.2f} distinct experts"
        f" in a layer ({row.expected_distinct_experts:.2f} expected)"
        for row in rows
        if row.component == "layer" and row.distinct_experts is not None and row.expected_distinct_experts is not None
    ]


def _memory_lines(rows: list[Measurement]) -> list[str]:
    return [
        f"{row.phase}, batch {row.batch_size}, context {row.context_len}: {units.nbytes(row.peak_memory_bytes)} at the"
        f" peak ({units.nbytes(row.predicted_memory_bytes)} predicted)"
        for row in rows
        if row.component == "step" and row.peak_memory_bytes is not None and row.predicted_memory_bytes is not None
    ]


def _conditions(document: ProfileReport | BenchReport) -> list[str]:
    seen = document.environment
    rejected = sum(row.rejected_samples for row in document.measurements if row.component in ("step", "model"))
    text = (
        f"On {seen['device_name']} ({seen['device']}, {seen['threads']} threads), torch {seen['torch']}, transformers"
        f" {seen['transformers']}, {seen['dtype']}; attention {seen['attention_implementation']}"
        + (f", experts {seen['experts_implementation']}." if seen["experts_implementation"] else ".")
    )
    return [text] + ([f"{rejected} preempted samples were left out."] if rejected else [])


def _end(interrupted: bool) -> list[str]:
    return ["Interrupted: this is what was measured so far."] if interrupted else []
