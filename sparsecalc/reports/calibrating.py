"""What people read of `calibrate`: what each kind of operation reached, the constants, and where they lie."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.reports.grids import Grid, View


def calibration_view(document: CalibrationReport) -> View:
    """Rows by operation, then the fitted constants beside those they started from, then the conditions."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in document.rows:
        kinds.setdefault(f"{row['op']} {row.get('dtype', '')}".strip(), []).append(row)
    rows = [[kind, str(len(found)), *_seconds(found), _reached(found)] for kind, found in kinds.items()]
    headers = ["operation", "benchmarks", "shortest", "longest", "spread", "most reached"]
    shown = View(grids=[Grid(headers=headers, rows=rows)])
    if document.constants:
        cells = list(_constants(document.constants["kernels"], (document.prior or {}).get("kernels", {})))
        shown.grids.append(Grid(headers=["constant", "fitted", "before", "moved"], rows=cells))
    if document.residuals:
        errors = ("median_error", "p90_error", "prior_median_error")
        cells = [
            [name, str(found["rows"]), str(found["left_out"]), *(f"{100 * found[key]:.0f} %" for key in errors)]
            for name, found in document.residuals.items()
        ]
        headers = ["fit", "rows", "left out", "median error", "90th percentile", "median before"]
        shown.grids.append(Grid(headers=headers, rows=cells))
    sheet = f", data sheet {document.accelerator}" if document.accelerator else ""
    versions = ", ".join(
        f"{name} {document.environment[name]}"
        for name in ("torch", "threads", "driver")
        if name in document.environment
    )
    shown.lines = [f"{document.device_name} ({document.device}{sheet}); {versions}; {document.created}."]
    shown.foot = [f"Written to {document.written}."]
    return shown


def _seconds(rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """The shortest and the longest median, and the median spread of samples, (largest - smallest) / median."""
    found = [row["seconds"] for row in rows]
    spread = median((max(row["samples"]) - min(row["samples"])) / row["seconds"] for row in rows)
    return _time(min(found)), _time(max(found)), f"{100 * spread:.0f} %"


def _reached(rows: list[dict[str, Any]]) -> str:
    """The best rate among the rows: FLOP/s of matrix products, bytes/s where the row tells its bytes."""
    if rows[0]["op"] == "gemm":
        return f"{max(2 * row['m'] * row['n'] * row['k'] / row['seconds'] for row in rows) / 1e12:.3g} TFLOP/s"
    if "bytes" in rows[0]:
        moved = 2 if rows[0]["op"] == "copy" else 1
        return f"{max(moved * row['bytes'] / row['seconds'] for row in rows) / 1e9:.3g} GB/s"
    return ""


def _time(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _constants(fitted: dict[str, Any], before: dict[str, Any]) -> Iterator[list[str]]:
    """Constants that the fit moved, with their values before."""
    for name, values in fitted.items():
        for key, value in values.items():
            old = before.get(name, {}).get(key)
            if isinstance(value, float) and isinstance(old, int | float) and old and value != old:
                yield [f"{name} {key}", f"{value:.4g}", f"{old:.4g}", f"{value / old:.2f}x"]
