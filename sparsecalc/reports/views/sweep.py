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
HEADERS = {
    "accelerator": "on",
    "num_gpus": "GPUs",
    "bound": "bound by",
    "decode_seconds": "decode step",
    "tpot_seconds": "TPOT",
    "ttft_seconds": "TTFT",
    "tokens_per_second": "tokens/s",
    "output_tokens_per_second": "output tokens/s",
    "output_tokens_per_second_per_gpu": "tokens/s/GPU",
    "usd_per_hour": "USD/h",
    "usd_per_million_output_tokens": "USD/M out",
    "usd_per_million_input_tokens": "USD/M in",
    "prefill_flops_per_token": "FLOPs/token, prefill",
    "decode_flops_per_token": "FLOPs/token, decode",
    "model_bytes": "memory",
}
"""Headers of columns whose names do not say it as shortly."""


def view(document: SweepReport) -> View:
    """Columns that differ as a table, the others as a sentence; a plot ends a screen."""
    rows = document.to_rows()
    if not rows:
        return View(lines=["no rows"])
    named = [name for name in document.columns if name != "point" and not _is_end(name, document.columns)]
    differ = [name for name in named if len({row[name] for row in rows}) > 1]
    same = [name for name in named if name not in differ]
    shown = rows[:: -(-len(rows) // MOST_ROWS)]
    grid = Grid(
        headers=[_header(name) for name in differ or same],
        rows=[[_cell(name, row) for name in differ or same] for row in shown],
        left=sum(isinstance(rows[0][name], str) for name in (differ or same)[:2]),
    )
    told = ", ".join(f"{_header(name)} {_cell(name, rows[0])}" for name in same)
    lines = [f"In all rows: {told}."] if told and differ else []
    if len(shown) < len(rows):
        lines.append(f"{len(shown)} of {len(rows):,} rows are shown; all of them: --format csv, jsonl or parquet.")
    return View(grids=[grid], lines=lines, foot=_plot(rows, differ))


def _is_end(name: str, columns: list[str]) -> bool:
    """Whether it is an end of a band, which stands beside its figure."""
    figure = name.removesuffix("_low").removesuffix("_high")
    return figure != name and {figure, f"{figure}_low", f"{figure}_high"} <= set(columns)


def _header(name: str) -> str:
    plain = name.removesuffix("_seconds").removesuffix("_bytes").removesuffix("_size").removesuffix("_len")
    return HEADERS.get(name, plain.replace("_", " "))


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if value is not None and f"{name}_low" in row and f"{name}_high" in row:
        return units.band(value, row[f"{name}_low"], row[f"{name}_high"])
    return _text(name, value)


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if "_seconds" in name:
        return units.duration(value)
    if "bytes" in name:
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
            label = ", ".join(f"{_header(name)} {_cell(name, row)}" for name in others) or figure
            curves.setdefault(label, []).append((log(row[across]), log(row[figure])))
    kept = dict(list(curves.items())[:MOST_CURVES])
    ends = [
        (min(values), max(values))
        for values in ([row[across] for row in rows], [row[figure] for row in rows if row[figure]])
    ]
    labels = ((f"{ends[0][0]:,}", f"{ends[0][1]:,}"), _header(across), _header(figure))
    more = [f"... and {len(curves) - len(kept)} more"] if len(curves) > len(kept) else []
    return ["", *plot(kept, labels, lambda value: _text(figure, value)), *more] if kept else []
