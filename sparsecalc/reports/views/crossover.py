"""What people read of `crossover`: the curves, the crossings, the closed forms; on a terminal also a plot."""

from bisect import bisect_left
from math import exp, log

from sparsecalc.core import units
from sparsecalc.documents.crossover import Cost, CrossoverReport, Point
from sparsecalc.estimate.break_even import ClosedForms
from sparsecalc.reports.view import Grid, View

MOST_ROWS = 20
"""Rows of the table of points; of more points, evenly chosen ones are shown."""
WIDTH, HEIGHT = 64, 12
"""Columns and lines of the plot."""
MARK_A, MARK_B, MARK_BOTH = "█", "░", "▓"


def view(document: CrossoverReport) -> View:
    """Who is cheaper where, the last cost (dollars) first; points of the grid, crossings, closed forms, and a plot."""
    grids = [_curves(document)]
    if document.crossings:
        grids.append(_crossings(document))
    if document.closed_forms:
        grids.append(_closed_forms(document.closed_forms))
    head = f"{document.a} (A) against {document.b} (B) over {document.over}, {_where(document)}."
    answer = [*document.text[-1:], *document.text[:-1]]
    return View(answer=answer, grids=grids, lines=[head], foot=["", *_plot(document)])


def _where(document: CrossoverReport) -> str:
    placements = dict.fromkeys((document.placement_a, document.placement_b))
    return f"{document.num_gpus} x {document.accelerator} ({' and '.join(placements)})"


def _curves(document: CrossoverReport) -> Grid:
    """The first cost in full, of the others the ratio; without the points that only narrow down a crossing."""
    first = document.costs[0]
    points = [point for point in document.points if not point.refined]
    shown = points[::-1][:: -(-len(points) // MOST_ROWS)][::-1]
    shown = shown if shown[0] is points[0] else [points[0], *shown]
    name = document.label(first)
    headers = [document.over, f"{name}, A", f"{name}, B", "A / B"]
    headers += [f"{document.label(cost)}, A / B" for cost in document.costs[1:]]
    fits = any(point.a.fits is not None for point in points)
    rows = [
        [
            f"{point.at:,g}" if point.at < 1e6 else f"{point.at:,.0f}",
            _value(first, getattr(point.a, first)),
            _value(first, getattr(point.b, first)),
            *(f"{getattr(point.a, cost) / getattr(point.b, cost):.2f}x" for cost in document.costs),
            *([_fits(point)] if fits else []),
        ]
        for point in shown
    ]
    return Grid(headers=headers + (["fit"] if fits else []), rows=rows)


def _fits(point: Point) -> str:
    return {(True, True): "both", (True, False): "A", (False, True): "B"}.get(
        (bool(point.a.fits), bool(point.b.fits)), "none"
    )


def _crossings(document: CrossoverReport) -> Grid:
    rows = [
        [
            document.label(one.cost),
            f"{one.at:,.4g}",
            f"{one.low:,.6g} and {one.high:,.6g}",
            one.cheaper_below,
            one.cheaper_above,
            "-" if one.unsure_low is None else f"{one.unsure_low:,.4g} to {one.unsure_high:,.4g}",
        ]
        for one in document.crossings
    ]
    headers = ["crossing in", document.over, "between", "cheaper below", "cheaper above", "within the 80 % band"]
    return Grid(headers=headers, rows=rows)


def _closed_forms(forms: ClosedForms) -> Grid:
    """Thresholds from weights alone, in tokens of a step."""
    start = f"{forms.t_lo:,.2f} tokens" if forms.t_lo is not None else forms.reads_more
    rows = [
        ["T_lo: the mixture reads more from", "ln(1 - D* / E) / ln(1 - k / E)", start],
        ["D*: experts that read as much as dense", "(dense - other) / one expert", f"{forms.distinct_experts:,.2f}"],
        ["T_hi: dense bound by compute from", "R N_tot / N_d", f"{forms.t_hi:,.0f} tokens"],
        ["R: ridge point", "F b / (2 BW)", f"{forms.ridge_tokens:,.0f} tokens"],
        ["experts bound by compute from", "R E / k", f"{forms.moe_compute_tokens:,.0f} tokens"],
        ["qs inequality (arXiv:2603.08960)", f"q {forms.q:.2f} x s {forms.s:.3f}", _qs(forms)],
    ]
    title = f"weights alone, {forms.moe} against {forms.dense}"
    return Grid(headers=[title, "formula", "value"], rows=rows, left=2)


def _qs(forms: ClosedForms) -> str:
    verdict = "the mixture reads more once all experts are reached" if forms.qs < 1 else "the mixture never reads more"
    return f"{forms.qs:.3f}: {verdict}"


def _plot(document: CrossoverReport) -> list[str]:
    """Both curves of the first cost in block characters, the cost and most axes in logarithms; who is cheaper below."""
    cost = document.costs[0]
    even = document.over in ("skew", "sparsity")
    places = [point.at if even else log(point.at) for point in document.points]
    curves = [[log(getattr(side, cost)) for side in (point.a, point.b)] for point in document.points]
    columns = [_at(places, curves, places[0] + (places[-1] - places[0]) * i / (WIDTH - 1)) for i in range(WIDTH)]
    low, high = min(map(min, columns)), max(map(max, columns))
    size = (high - low) or 1.0
    cells = [[round((value - low) / size * (HEIGHT - 1)) for value in column] for column in columns]
    lines = []
    for height in range(HEIGHT - 1, -1, -1):
        marks = "".join(_mark(a == height, b == height) for a, b in cells)
        edge = _value(cost, exp(low + size * height / (HEIGHT - 1))) if height in (0, HEIGHT - 1) else ""
        lines.append(f"{edge:>10} │{marks}")
    cheaper = "".join(_mark(a <= b, b <= a) for a, b in columns)
    ends = f"{document.points[0].at:,g}", f"{document.points[-1].at:,g}"
    axis = f"{ends[0]}{document.over:^{WIDTH - len(ends[0]) - len(ends[1])}}{ends[1]}"
    names = f"{MARK_A} {document.a}   {MARK_B} {document.b}   {MARK_BOTH} both"
    return [
        f"{'':>10}  {document.label(cost)}",
        *lines,
        f"{'cheaper':>10} │{cheaper}",
        f"{'':>10}  {axis}",
        f"{'':>10}  {names}",
    ]


def _value(cost: Cost, value: float) -> str:
    if cost.endswith("seconds"):
        return units.duration(value)
    return units.nbytes(value) if "bytes" in cost else f"{value:.3g}"


def _mark(a: bool, b: bool) -> str:
    return MARK_BOTH if a and b else MARK_A if a else MARK_B if b else " "


def _at(places: list[float], curves: list[list[float]], place: float) -> list[float]:
    """Both curves at a place between the points, on the straight line between the two nearest."""
    after = min(max(bisect_left(places, place), 1), len(places) - 1)
    share = (place - places[after - 1]) / (places[after] - places[after - 1])
    return [old + (new - old) * share for old, new in zip(curves[after - 1], curves[after], strict=True)]
