"""What people read of `models` and `gpus`: the list, for accelerators in units of a data sheet, processors last."""

from typing import Any

from sparsecalc.documents.lists import ListReport
from sparsecalc.reports.view import Grid, View

Row = dict[str, Any]


def view(document: ListReport) -> View:
    """A row for each entry, a column for each key; accelerators and processors in a table each."""
    if document.command == "gpus":
        kinds = [[row for row in document.rows if (row["kind"] == "cpu") is cpu] for cpu in (False, True)]
        return View(grids=[_accelerators(rows) for rows in kinds if rows])
    headers = list(document.rows[0]) if document.rows else []
    rows = [["" if value is None else str(value) for value in row.values()] for row in document.rows]
    return View(grids=[Grid(headers=headers, rows=rows, left=2)])


def _accelerators(rows: list[Row]) -> Grid:
    headers = ["id", "name", "memory", "GB/s", "16-bit TFLOP/s", "fp8 TFLOP/s", "USD/h", "released", "constants of"]
    return Grid(headers=headers, rows=[_cells(row) for row in rows], left=2)


def _cells(row: Row) -> list[str]:
    def in_units(key: str, unit: float) -> str:
        return f"{row[key] / unit:,.5g}" if row[key] else ""

    peaks = [in_units(f"{dtype}_flops_per_second", 1e12) for dtype in ("bf16", "fp8")]
    price = in_units("usd_per_hour", 1)
    rate = in_units("memory_bytes_per_second", 1e9)
    return [row["id"], row["name"], row["memory"], rate, *peaks, price, row["released"] or "", row["constants_of"]]
