"""What people read of `routing`: experts by batch, the busiest rank, drops, and the experts' loads as marks."""

from sparsecalc.core import units
from sparsecalc.documents.routing import RoutingReport
from sparsecalc.reports.view import Grid, View

MARKS = "▁▂▃▄▅▆▇█"
WIDTH = 64
"""Marks in a line."""


def view(document: RoutingReport) -> View:
    """The conclusion; tables of batches, ranks and capacity factors; the loads where they differ; the simulation."""
    grids = [_distinct(document), _ranks(document), _drops(document)]
    if document.times:
        grids.append(_times(document))
    if max(map(max, document.loads)) - min(map(min, document.loads)) > 1e-9:
        grids.append(_loads(document))
    if document.simulated:
        grids.append(_simulated(document))
    zero = f" and {document.zero_experts} that compute nothing" if document.zero_experts else ""
    head = (
        f"{document.model}: {document.num_experts_per_tok} of {document.num_experts} experts{zero} per token in"
        f" {document.layers} layers; routing {document.routing}."
    )
    return View(answer=document.text, grids=grids, lines=[head], heat_map=document.loads)


def _both(document: RoutingReport, uniform: str, asked: str) -> list[str]:
    """Cells of uniform routing and of what was asked for, or one where that is the same."""
    return [uniform] if document.routing == "uniform" else [uniform, asked]


def _label(document: RoutingReport) -> str:
    return "measured" if document.inputs["kind"] == "measured" else document.routing


def _distinct(document: RoutingReport) -> Grid:
    label = _label(document)
    headers = ["batch size", *_both(document, "distinct experts, uniform", label)]
    rows = [
        [
            f"{r.batch_size:,}",
            *_both(document, f"{r.uniform:.2f}", f"{r.expected:.2f}"),
            *_both(document, f"{r.uniform_share:.1%}", f"{r.share:.1%}"),
        ]
        for r in document.distinct
    ]
    return Grid(headers=[*headers, *_both(document, "weights read, uniform", label)], rows=rows)


def _ranks(document: RoutingReport) -> Grid:
    redundant = f" + {document.replicas}" if document.replicas else ""
    headers = ["batch size", "EP", "pairs per rank", *_both(document, "busiest / mean, uniform", _label(document))]
    rows = [
        [
            f"{r.batch_size:,}",
            str(r.ep),
            f"{r.mean_pairs:,.1f}",
            *_both(document, f"{r.uniform_imbalance:.2f}x", f"{r.imbalance:.2f}x"),
            f"{r.balanced_imbalance:.2f}x",
            f"{r.distinct:.2f}",
            f"{r.balanced_distinct:.2f}",
        ]
        for r in document.ranks
    ]
    return Grid(headers=[*headers, f"EPLB{redundant}", "most experts read", "with EPLB"], rows=rows)


def _drops(document: RoutingReport) -> Grid:
    dropped = _both(document, "dropped, uniform", _label(document))
    rows = [
        [
            f"{r.batch_size:,}",
            f"{r.capacity_factor:g}",
            f"{r.capacity:,}",
            *_both(document, f"{r.uniform:.2%}", f"{r.drop_rate:.2%}"),
        ]
        for r in document.drops
    ]
    return Grid(headers=["batch size", "capacity factor", "tokens per expert", *dropped], rows=rows)


def _times(document: RoutingReport) -> Grid:
    rows = [
        [
            f"{r.batch_size:,}",
            str(r.ep),
            *_both(document, units.duration(r.uniform_seconds), units.duration(r.seconds)),
            *_both(document, "1.00x", f"{r.seconds / r.uniform_seconds:.2f}x")[1:],
            units.duration(r.balanced_seconds),
        ]
        for r in document.times
    ]
    label = _label(document)
    headers = ["batch size", "EP", *_both(document, "experts' time, uniform", label), *_both(document, "", "ratio")[1:]]
    return Grid(headers=[*headers, "with EPLB"], rows=rows)


def _loads(document: RoutingReport) -> Grid:
    """A mark per expert in lines of 64; of several layers a line each, its marks the largest of some experts."""
    most = max(map(max, document.loads))
    if len(document.loads) == 1:
        loads = document.loads[0]
        parts = {
            f"{at} to {min(at + WIDTH, len(loads)) - 1}": loads[at : at + WIDTH] for at in range(0, len(loads), WIDTH)
        }
        title = "experts"
    else:
        size = -(-document.num_experts // WIDTH)
        parts = {
            str(number): [max(row[at : at + size]) for at in range(0, len(row), size)]
            for number, row in enumerate(document.loads, 1)
        }
        title = "layer with experts"
    rows = [[label, "".join(_mark(load / most) for load in loads)] for label, loads in parts.items()]
    return Grid(headers=[title, f"load ({MARKS[-1]} is {most:.2f}x the mean)"], rows=rows, left=2)


def _mark(share: float) -> str:
    return MARKS[min(len(MARKS) - 1, int(share * len(MARKS)))]


def _simulated(document: RoutingReport) -> Grid:
    rows = [
        [
            r.figure,
            f"{r.batch_size:,}",
            str(r.ep or ""),
            units.exact(r.formula),
            units.exact(r.simulated),
            units.exact(r.standard_error),
            f"{r.relative_error:+.1%}",
        ]
        for r in document.simulated
    ]
    return Grid(
        headers=["figure", "batch size", "EP", "formula", "simulated", "standard error", "differs by"], rows=rows
    )
