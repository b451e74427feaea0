"""The document of a sweep: all rows at once."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.decide.sweep import SweepPlan
from sparsecalc.documents.sweep import SweepReport, SweepRow

MOST_ROWS = 10**5
"""Rows that a document holds."""


def sweep_report(plan: SweepPlan) -> SweepReport:
    """All rows of a plan. Raises InputError for more than `MOST_ROWS`."""
    if plan.own_size > MOST_ROWS:
        text = f"{plan.own_size:,} rows are more than the {MOST_ROWS:,} of one document"
        raise InputError(text, hint="Write them row by row: --format csv, jsonl or parquet")
    rows: list[SweepRow] = []
    for block in plan.blocks():
        columns = [block.flat(name).tolist() for name in plan.columns]
        rows += (SweepRow(**dict(zip(plan.columns, values, strict=True))) for values in zip(*columns, strict=True))
    return SweepReport(
        command="sweep",
        inputs=_inputs(plan),
        warnings=plan.warnings(),
        points=plan.size,
        shard=f"{plan.part}/{plan.parts}" if plan.parts > 1 else None,
        axes=plan.axes.varied(),
        columns=plan.columns,
        rows=rows,
    )


def _inputs(plan: SweepPlan) -> dict[str, Any]:
    """What was asked: models, and the options that were not varied."""
    single = {name: values[0] for name, values in plan.axes.values.items() if len(values) == 1}
    told = {name: value for name, value in plan.fixed.items() if value not in (False, [], None)}
    return {"models": [printable(name, 1000) for name in plan.models], **single, **told}
