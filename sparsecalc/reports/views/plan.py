"""What people read of `plan`: the recommendation, a row for each candidate, and why the rest is not taken."""

from sparsecalc.core import units
from sparsecalc.documents.plan import Candidate, PlanReport
from sparsecalc.reports.view import Grid, View

MOST_MISSES = 8
"""Near misses that are shown; JSON has all of them."""


def view(document: PlanReport) -> View:
    """The answer, then candidates in their order, near misses, and how many layouts were left out why."""
    found = document.plan
    grids = [_candidates(found.candidates)] if found.candidates else []
    if found.near_misses:
        rows = [[each.model, each.accelerator, each.text] for each in found.near_misses[:MOST_MISSES]]
        grids.append(Grid(headers=["not taken", "on", "nearest, and why not"], rows=rows, left=3))
    lines = [f"Looked at {found.searched:,} layouts. Left out: {_counts(found.rejected)}."]
    if found.recommended and found.recommended.command:
        lines.append(f"Start each replica with: {found.recommended.command}")
    return View(answer=document.text, grids=grids, lines=lines)


def _candidates(candidates: list[Candidate]) -> Grid:
    rows = [
        [
            each.model,
            f"{each.replicas} x {each.num_gpus // each.replicas} {each.accelerator}",
            each.layout,
            each.dtype,
            f"{each.batch_size:,}",
            units.duration(each.tpot_seconds),
            units.duration(each.ttft_seconds),
            f"{1 / each.tpot_seconds:,.1f}",
            f"{each.output_tokens_per_second_per_gpu:,.0f}",
            _money(each.usd_per_hour),
            _money(each.usd_per_million_output_tokens),
            ", ".join(
                word for word, is_so in (("best", not at), ("front", each.on_front), ("tie", each.tied)) if is_so
            ),
        ]
        for at, each in enumerate(candidates)
    ]
    figures = ["in flight", "TPOT", "TTFT", "tokens/s of a user", "of a device", "USD/h", "USD per M"]
    return Grid(headers=["candidate", "on", "layout", "dtype", *figures, ""], rows=rows, left=4)


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _counts(rejected: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in rejected.items()) or "none"
