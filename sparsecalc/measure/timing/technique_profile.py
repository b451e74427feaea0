"""`profile --technique`: the kernels of a sparsity at the size of a model's own weight."""

from collections.abc import Callable
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Op
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.decide.measured_run import ProfileQuestion
from sparsecalc.documents.sparse_kernels import BreakEven, SparseKernelReport
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.machine.conditions import doubts, machine_conditions, noise
from sparsecalc.measure.machine.device import find_device
from sparsecalc.measure.timing.sparse_kernels import BLOCK, DENSITIES, Sizes, break_even, compare_kernels
from sparsecalc.model.spec import ModelSpec

COMPRESSED = ("csr", "bsr")
"""torch has these on a CPU in fp32 only."""
MOST_SECONDS = 1.0
"""Given to one kernel, if the time budget allows."""


def profile_technique(
    loaded: LoadedModel,
    technique: str,
    question: ProfileQuestion,
    progress: Callable[[str], None] = lambda name: None,
) -> SparseKernelReport:
    """A sparse kernel and its dense twin on the model's largest weight of a layer, over densities.

    For `heads` it is the query projection. Each batch size is a number of tokens that meet the weight.
    Raises InputError for an unknown technique or a weight that it cannot be applied to, SparsecalcError where this
    device has no such kernel.
    """
    run, token_counts = question.run, question.grid.batch_sizes
    device = find_device(run.device)
    conditions = machine_conditions(device)
    warnings = doubts(conditions, noise(device))
    weight, heads = _weight(loaded.spec, technique)
    dtype = run.dtype
    if device.type == "cpu" and technique in COMPRESSED and dtype != "fp32":
        text = f"{technique} in fp32: torch has no such kernel for {dtype} here"
        warnings.append(Note(code="other-dtype", text=text))
        dtype = "fp32"
    budget = min(MOST_SECONDS, run.time_budget_seconds / (len(token_counts) * (1 + len(DENSITIES))))
    rows: list[dict[str, Any]] = []
    for tokens in token_counts:
        progress(f"{technique}, {tokens} tokens")
        sizes = Sizes(weight.rows, weight.cols, (tokens,), DENSITIES, dtype, heads, budget)
        rows += compare_kernels(technique, device, sizes)
    return SparseKernelReport(
        command="profile",
        inputs={"model": loaded.spec.id, "technique": technique, **question.inputs(), "dtype": dtype},
        warnings=warnings,
        model=loaded.spec.id,
        technique=technique,
        weight=f"{weight.name}, {weight.rows:,} x {weight.cols:,}",
        environment=conditions,
        rows=rows,
        break_even=[_break_even(tokens, rows) for tokens in token_counts],
    )


def _weight(spec: ModelSpec, technique: str) -> tuple[Op, int]:
    """The largest weight of a layer, for `heads` a projection to all heads, and into how many heads its rows fall."""
    ops = [op for group in spec.layer_groups for op in group.layer.ops(Workload())]
    weights = [op for op in ops if op.kind in ("matmul", "experts") and op.rows and op.cols]
    heads = 1
    if technique == "heads":
        heads = max((op.heads for op in ops), default=0)
        weights = [op for op in weights if op.component == "attention" and heads and op.rows % heads == 0][:1]
    if not weights:
        raise InputError(f"{spec.id} has no weight for {brief(technique)}", hint="Choose another model or technique")
    largest = max(weights, key=lambda op: op.rows * op.cols)
    if largest.rows % BLOCK or largest.cols % BLOCK:
        text = f"{largest.name} of {spec.id} is {largest.rows} x {largest.cols}"
        raise InputError(text, hint=f"Both must be multiples of {BLOCK}")
    return largest, heads


def _break_even(tokens: int, rows: list[dict[str, Any]]) -> BreakEven:
    own = sorted((row for row in rows if row["tokens"] == tokens), key=lambda row: row["density"])
    density = break_even(own)
    if density is not None:
        text = f"at density {density:.2f}"
    else:
        text = f"above density {own[-1]['density']:g}" if own[-1]["speedup"] >= 1 else "nowhere"
    return BreakEven(tokens=tokens, density=density, text=text)
