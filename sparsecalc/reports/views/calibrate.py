"""What people read of `calibrate`: what each kind of operation reached, the constants, and where they are stored."""

from collections.abc import Iterator
from math import exp
from statistics import median
from typing import Any

from sparsecalc.core import units
from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.estimate.step import BAND
from sparsecalc.reports.view import Grid, View


def view(document: CalibrationReport) -> View:
    """Rows by operation, then the fitted constants beside those before, then the errors of the fit.

    Of an anchor its rows, its factors, the errors, and what was left out.
    """
    if document.anchor:
        of_tests = "tests" in document.anchor
        return (_tests_view if of_tests else _anchor_view)(document, document.anchor)
    grids = [_operations(document.rows)]
    if document.constants:
        grids.append(_constants(document.constants["kernels"], (document.prior or {}).get("kernels", {})))
    if document.residuals:
        grids.append(_residuals(document.residuals))
    return View(grids=grids, lines=[_conditions(document)], foot=[f"Written to {document.written}."])


def _tests_view(document: CalibrationReport, anchor: dict[str, Any]) -> View:
    """Each measured test, as predicted and as anchored; the errors; what was left out."""
    headers = ["measured test", "read from", "model", "weights", "placement", "t/s measured", "predicted", "anchored"]
    rates = [f"{name}_tokens_per_second" for name in ("measured", "predicted", "anchored")]
    rows = [
        [
            *(str(row[name]) for name in ("test", "tool", "model", "dtype", "placement")),
            *(f"{row[r]:,.4g}" for r in rates),
        ]
        for row in anchor["tests"]
    ]
    grids = [Grid(headers=headers, rows=rows, left=5), _residuals(document.residuals or {}), *_left_out(anchor)]
    engine = ":".join(filter(None, (anchor["engine"], anchor["backend"])))
    saved = f"Written to {document.written}." if document.written else "Not saved: -o FILE saves it."
    return View(grids=grids, lines=[f"{document.device_name} ({anchor['accelerator']}), {engine}."], foot=[saved])


def _left_out(anchor: dict[str, Any]) -> list[Grid]:
    rows = [[each["where"], each["why"]] for each in anchor["left_out"]]
    return [Grid(headers=["left out", "why"], rows=rows, left=2)] if rows else []


def _anchor_view(document: CalibrationReport, anchor: dict[str, Any]) -> View:
    grids = [_loads(anchor["rows"]), _curves(anchor["curves"]), _residuals(document.residuals or {})]
    grids += _left_out(anchor)
    lines = [f"{document.device_name} ({anchor['accelerator']}), {anchor['engine']}, weights in {anchor['dtype']}."]
    count = sum("ttft_log_error" in row for row in anchor["rows"])
    if count:
        lines.append(f"TTFT is anchored too, to {count} of the rows.")
    saved = f"Written to {document.written}." if document.written else "Not saved: -o FILE saves it."
    return View(grids=grids, lines=lines, foot=[saved])


def _loads(rows: list[dict[str, Any]]) -> Grid:
    """Each measured load, as predicted and as anchored."""
    headers = ["measured load", "read from", "model", "placement", "TPOT measured", "predicted", "anchored"]
    cells = [
        [
            f"{row['concurrency']:.4g} x {row['prompt_len']:,.0f} + {row['output_len']:,.0f}",
            row["tool"],
            row["model"],
            row["placement"],
            *(units.duration(row[f"{name}_seconds"]) for name in ("measured", "predicted", "anchored")),
        ]
        for row in rows
    ]
    return Grid(headers=headers, rows=cells, left=4)


def _curves(curves: list[dict[str, Any]]) -> Grid:
    """The factor on a decode step's seconds at a few loads, with its 80 % band."""
    headers = ["factor of", "placement", *(_sequences(count) for count in curves[0]["sequences"])]
    rows = [[curve["model"], curve["placement"], *map(_factor, curve["factor"], curve["spread"])] for curve in curves]
    return Grid(headers=headers, rows=rows, left=2)


def _factor(factor: float, spread: float) -> str:
    return f"{factor:.2f} ({factor * exp(-BAND * spread):.2f} to {factor * exp(BAND * spread):.2f})"


def _operations(benchmarks: list[dict[str, Any]]) -> Grid:
    """A row for each operation and format, over all its shapes."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in benchmarks:
        kinds.setdefault(f"{row['op']} {row.get('dtype', '')}".strip(), []).append(row)
    rows = [[kind, str(len(same)), *_seconds(same), _best_rate(same)] for kind, same in kinds.items()]
    return Grid(headers=["operation", "benchmarks", "shortest", "longest", "spread", "best rate"], rows=rows)


def _seconds(rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """The shortest and the longest median, and the median spread of samples, (largest - smallest) / median."""
    seconds = [row["seconds"] for row in rows]
    spread = median((max(row["samples"]) - min(row["samples"])) / row["seconds"] for row in rows)
    return units.duration(min(seconds)), units.duration(max(seconds)), f"{100 * spread:.0f} %"


def _best_rate(rows: list[dict[str, Any]]) -> str:
    """FLOP/s of matrix products; bytes/s where the rows tell their bytes, which a copy both reads and writes."""
    if rows[0]["op"] == "gemm":
        return f"{max(2 * row['m'] * row['n'] * row['k'] / row['seconds'] for row in rows) / 1e12:.3g} TFLOP/s"
    if "bytes" in rows[0]:
        moved = 2 if rows[0]["op"] == "copy" else 1
        return f"{max(moved * row['bytes'] / row['seconds'] for row in rows) / 1e9:.3g} GB/s"
    return ""


def _constants(fitted: dict[str, Any], before: dict[str, Any]) -> Grid:
    rows = list(_changed(fitted, before))
    return Grid(headers=["constant", "fitted", "before", "ratio"], rows=rows)


def _changed(fitted: dict[str, Any], before: dict[str, Any]) -> Iterator[list[str]]:
    """Constants that the fit changed, with their values before."""
    for name, values in fitted.items():
        for key, value in values.items():
            old = before.get(name, {}).get(key)
            if isinstance(value, float) and isinstance(old, int | float) and old and value != old:
                yield [f"{name} {key}", f"{value:.4g}", f"{old:.4g}", f"{value / old:.2f}x"]


def _residuals(residuals: dict[str, Any]) -> Grid:
    errors = ("median_error", "p90_error", "prior_median_error")
    rows = [
        [name, str(fit["rows"]), str(fit["left_out"]), *(f"{100 * fit[key]:.0f} %" for key in errors)]
        for name, fit in residuals.items()
    ]
    headers = ["fit", "rows", "left out", "median error", "90th percentile", "median error before"]
    return Grid(headers=headers, rows=rows)


def _conditions(document: CalibrationReport) -> str:
    sheet = f", data sheet {document.accelerator}" if document.accelerator else ""
    known = [name for name in ("torch", "threads", "driver") if name in document.environment]
    versions = ", ".join(f"{name} {document.environment[name]}" for name in known)
    return f"{document.device_name} ({document.device}{sheet}); {versions}; {document.created}."


def _sequences(count: float) -> str:
    return "1 sequence" if count == 1 else f"{count:,} sequences"
