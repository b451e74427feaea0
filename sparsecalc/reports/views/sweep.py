"""What people read of `sweep`: a table of the rows, what is the same in all of them, and a plot of the first figure."""

from math import log
from typing import Any

from sparsecalc.core import units
from sparsecalc.documents.sweep import SweepReport
from sparsecalc.reports.plot import plot
from sparsecalc.reports.view import Grid, View

MOST_ROWS = 48
"""Rows of the table; of more, evenly chosen ones are shown."""
MOST_CURVES = 8
"""Curves of the plot."""
AXES = ("batch_size", "context_len", "num_gpus", "tp", "pp", "dp", "ep", "prompt_len", "output_len")
"""What a plot may have below it, the first that has most values."""
PLACE = ("point", "model", "accelerator", *AXES, "engine", "routing", "weights_dtype", "kv_cache_dtype")
"""Columns that say which point it is."""


def view(document: SweepReport) -> View:
    """Columns that differ as a table, the others as a sentence; a plot ends a screen."""
    rows = document.to_rows()
    if not rows:
        return View(lines=["no rows"])
    differ = [name for name in document.columns if name != "point" and len({row[name] for row in rows}) > 1]
    same = [name for name in document.columns if name not in (*differ, "point")]
    shown = rows[:: -(-len(rows) // MOST_ROWS)]
    grid = Grid(
        headers=[_header(name) for name in differ or same],
        rows=[[_cell(name, row[name]) for name in differ or same] for row in shown],
        left=sum(isinstance(rows[0][name], str) for name in (differ or same)[:2]),
    )
    lines = (
        [f"In all rows: {', '.join(f'{_header(name)} {_cell(name, rows[0][name])}' for name in same)}."] if same else []
    )
    if len(shown) < len(rows):
        lines.append(f"{len(shown)} of {len(rows):,} rows are shown; all of them: --format csv, jsonl or parquet.")
    return View(grids=[grid], lines=lines, foot=_plot(rows, differ))


def _header(name: str) -> str:
    for ending, text in {"_seconds": "", "_bytes": "", "_size": "", "_len": "", "_dtype": ""}.items():
        name = name.removesuffix(ending) + text
    return name.replace("usd_per_million_output_tokens", "USD/M out").replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if "_seconds" in name:
        return units.duration(value)
    if "_bytes" in name:
        return units.nbytes(value)
    if "flops" in name:
        return units.flops(value)
    if name.endswith("_params"):
        return units.count(value)
    return units.exact(value) if isinstance(value, int) or abs(value) < 1000 else f"{value:,.0f}"


def _plot(rows: list[dict[str, Any]], differ: list[str]) -> list[str]:
    """The first figure that differs over the axis with most values, a curve for each combination of the others."""
    axes = [name for name in AXES if name in differ]
    figures = [name for name in differ if name not in PLACE and isinstance(rows[0][name], float)]
    if not axes or not figures:
        return []
    across = max(axes, key=lambda name: len({row[name] for row in rows}))
    figure = "decode_seconds" if "decode_seconds" in figures else figures[0]
    others = [name for name in differ if name in PLACE and name != across]
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row[figure] and row[across]:
            label = ", ".join(f"{_header(name)} {_cell(name, row[name])}" for name in others) or figure
            curves.setdefault(label, []).append((log(row[across]), log(row[figure])))
    kept = dict(list(curves.items())[:MOST_CURVES])
    ends = [
        (min(values), max(values))
        for values in ([row[across] for row in rows], [row[figure] for row in rows if row[figure]])
    ]
    labels = ((f"{ends[0][0]:,}", f"{ends[0][1]:,}"), _header(across), _header(figure))
    more = [f"... and {len(curves) - len(kept)} more"] if len(curves) > len(kept) else []
    return ["", *plot(kept, labels, lambda value: _cell(figure, value)), *more] if kept else []
