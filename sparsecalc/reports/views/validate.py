"""What people read of `validate`: errors by group, and the errors that others publish."""

from sparsecalc.documents.validate import Accuracy, AccuracyTable, Peer, ValidateReport
from sparsecalc.reports.view import Grid, View

HEADERS = ["rows", "mean", "median", "90th percentile", "bias", "in the 80 % band"]


def view(document: ValidateReport) -> View:
    """A table for each kind of row, then the peers'."""
    grids = [*map(accuracy_grid, document.tables), peer_grid(document.peers)]
    return View(grids=grids, foot=[counts(document)], head=[counts(document)])


def counts(document: ValidateReport) -> str:
    """How many measured times of each kind there are, and what an error is."""
    rows = document.inputs
    named = {"replays": "figures of whole runs", "mlperf": "results of MLPerf"}
    more = "".join(f", {rows[key]:,} {text}" for key, text in named.items() if rows.get(key))
    return (
        f"{sum(rows.values()):,} measured times: {rows['serving']:,} of serving runs, {rows['steps']:,} of steps"
        f" with a fixed batch, {rows['kernels']:,} of single kernels, {rows['ttft']:,} of first tokens{more}."
        " Errors are |predicted / measured - 1|."
    )


def accuracy_grid(table: AccuracyTable) -> Grid:
    """A row for each group."""
    return Grid(headers=[table.title, *HEADERS], rows=[_row(group) for group in table.groups])


def _row(group: Accuracy) -> list[str]:
    inside = "" if group.coverage is None else f"{group.coverage:.0%}"
    sizes = (group.mean_error, group.median_error, group.p90_error)
    return [group.group, f"{group.rows:,}", *(f"{size:.1%}" for size in sizes), f"{group.bias:+.1%}", inside]


def peer_grid(peers: list[Peer]) -> Grid:
    """A row for each published error."""
    rows = []
    for peer in peers:
        figures = (peer.mean_percent, peer.median_percent, peer.p90_percent)
        rows.append([peer.name, peer.what, *("" if value is None else f"{value:g}%" for value in figures), peer.source])
    return Grid(headers=["others", "of", "mean", "median", "90th percentile", "source"], rows=rows, left=2)
