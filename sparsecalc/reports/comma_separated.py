"""CSV: one row per result; nested fields get dotted names, lists are left to JSON."""

import csv
import io
from collections.abc import Iterable
from typing import Any

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.documents.compare import CompareReport
from sparsecalc.documents.crossover import CrossoverReport
from sparsecalc.documents.dense_equivalent import EquivalenceReport
from sparsecalc.documents.explain import ExplainReport, StepReport
from sparsecalc.documents.lists import ListReport
from sparsecalc.documents.profile import BenchReport, ProfileReport
from sparsecalc.documents.routing import RoutingReport
from sparsecalc.documents.show import ModelReport
from sparsecalc.documents.sparse_kernels import SparseKernelReport
from sparsecalc.documents.validate import ValidateReport
from sparsecalc.documents.verify import VerifyReport


def write(document: Document, width: int | None = None) -> str:
    """Points of a grid, models, lines, results or rows of the document, one to a line."""
    models = document.models if isinstance(document, CompareReport) else [document]
    grid = [(model.model.id, point) for model in models if isinstance(model, ModelReport) for point in model.grid]
    if grid:
        rows: Iterable[Any] = [{"model": name, **point.to_dict()} for name, point in grid]
    elif isinstance(document, CompareReport):
        rows = [model.to_dict() for model in document.models]
    elif isinstance(document, ExplainReport | StepReport):
        rows = [line.to_dict() for line in document.lines]
    elif isinstance(document, ProfileReport | BenchReport):
        rows = [row.to_dict() for row in document.measurements]
    elif isinstance(document, SparseKernelReport):
        rows = document.rows
    elif isinstance(document, ValidateReport):
        rows = [check.to_dict() for check in document.checks]
    elif isinstance(document, VerifyReport):
        rows = [result.to_dict() for result in document.results]
    elif isinstance(document, ListReport | CalibrationReport | RoutingReport | CrossoverReport | EquivalenceReport):
        rows = document.rows
    else:
        rows = [{key: value for key, value in document.to_dict().items() if key not in ("inputs", "warnings")}]
    flat = [dict(_flatten(row)) for row in rows]
    found = dict.fromkeys(key for row in flat for key in row)
    parents = {key.rpartition(".")[0] for key in found}
    out = io.StringIO()
    columns = [key for key in found if key not in parents]
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flatten(row: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield prefix + key, printable(value, 1000) if isinstance(value, str) else value
