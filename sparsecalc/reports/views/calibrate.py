"""What people read of `calibrate`: what each kind of operation reached, the constants, and where they are stored."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from sparsecalc.core import units
from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.reports.view import Grid, View


def view(document: CalibrationReport) -> View:
    """Rows by operation, then the fitted constants beside those before, then the errors of the fit."""
    grids = [_operations(document.rows)]
    if document.constants:
        grids.append(_constants(document.constants["kernels"], (document.prior or {}).get("kernels", {})))
    if document.residuals:
        grids.append(_residuals(document.residuals))
    return View(grids=grids, lines=[_conditions(document)], foot=[f"Written to {document.written}."])


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
