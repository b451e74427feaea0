"""Calibrate a device: run the micro-benchmarks one by one, keep every row, fit the constants of predictions to them.

Sizes: 32 random matrix shapes per number format reach the floor of what the formulas can fit; fewer chosen by hand do
worse than built-in constants. Half of them have at most 64 rows, where decoding works.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, zip_longest
from time import perf_counter
from typing import Any

import torch

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.notes import Note
from sparsecalc.device.calibration import Calibration
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.measure.calibrate.collectives import measure_collectives
from sparsecalc.measure.calibrate.eager_benchmarks import MODEL_TYPES, eager_case
from sparsecalc.measure.calibrate.expert_benchmarks import experts_module, moe_case, spec_config
from sparsecalc.measure.calibrate.kernel_benchmarks import (
    Benchmark,
    HeadShape,
    attention_case,
    cache_bytes,
    copy_case,
    elementwise_case,
    gemm_case,
    launch_case,
    run_case,
)
from sparsecalc.measure.machine.conditions import device_name, doubts, environment, find_device, memory_bytes, noise

__all__ = ["calibrate", "device_name", "find_device"]

MEASURED = (
    "peak_flops_per_second",
    "memory_bytes_per_second",
    "link_bytes_per_second",
    "domain_size",
    "matrix_unit_rows",
)
"""Of a device without a data sheet."""
MEMORY_SHARE = 0.3
"""Of the free memory, what one benchmark's operands may take."""
FEW_ROWS = 64
EVERY = 8
"""Every so many of the matrix products have a single row, where one sequence decodes."""


@dataclass(frozen=True)
class Plan:
    """Which sizes are measured. Lengths in tokens, `copies` in bytes."""

    gemms: int
    most_rows: int
    sides: tuple[int, int]
    """Smallest and largest N and K."""
    dtypes: tuple[str, ...]
    copies: tuple[int, ...]
    decode: tuple[tuple[int, int], ...]
    """Batch and context."""
    prefill: tuple[int, ...]
    moe_tokens: tuple[int, ...]
    elementwise_tokens: tuple[int, ...]
    graphs: bool = False
    """Whether the device has graphs of kernels."""
    attention_of: tuple[str, ...] = ("llama-3.1-8b", "olmoe-1b-7b", "llama-3.2-1b")
    """Built-in models whose heads are measured."""
    experts_of: tuple[str, ...] = ("qwen3-30b-a3b", "mixtral-8x7b", "olmoe-1b-7b")
    seconds: float = 2.0
    """Time given to one benchmark."""


MIB = 2**20
CPU = Plan(
    gemms=32,
    most_rows=512,
    sides=(512, 8192),
    dtypes=("bf16", "fp32"),
    copies=(MIB, 16 * MIB, 256 * MIB),
    decode=((1, 1024), (1, 8192), (8, 1024), (8, 4096), (32, 1024)),
    prefill=(128, 512, 1024, 2048),
    moe_tokens=(1, 2, 4, 8, 16, 64, 256),
    elementwise_tokens=(1, 64, 512),
)
QUICK_CPU = replace(
    CPU,
    gemms=16,
    most_rows=256,
    sides=(512, 4096),
    dtypes=("bf16",),
    decode=((1, 1024), (8, 1024), (8, 4096)),
    prefill=(128, 256, 512),
    moe_tokens=(1, 8, 64, 256),
    elementwise_tokens=(1, 64, 512),
    seconds=0.5,
)
GPU = Plan(
    graphs=True,
    gemms=32,
    most_rows=8192,
    sides=(1024, 16384),
    dtypes=("bf16", "fp8"),
    copies=(MIB, 16 * MIB, 256 * MIB, 1024 * MIB),
    decode=tuple((batch, context) for batch in (1, 8, 64) for context in (1024, 4096, 16384, 65536)),
    prefill=(512, 1024, 2048, 4096, 8192, 16384),
    moe_tokens=(1, 2, 4, 8, 16, 32, 128, 512, 2048),
    elementwise_tokens=(1, 64, 2048),
    seconds=0.5,
)
QUICK_GPU = replace(
    GPU,
    gemms=16,
    dtypes=("bf16",),
    decode=((1, 4096), (8, 4096), (64, 4096)),
    prefill=(512, 2048, 8192),
    moe_tokens=(1, 8, 64, 512),
    seconds=0.2,
)


def calibrate(
    device: torch.device,
    *,
    quick: bool = False,
    budget_seconds: float | None = None,
    earlier: Calibration | None = None,
    save: Callable[[Calibration], None] = lambda found: None,
    progress: Callable[[int], Callable[[str], None]] = lambda count: lambda name: None,
    chosen: list[Benchmark] | None = None,
) -> tuple[Calibration, list[Note]]:
    """Measure what `earlier` (an interrupted run) lacks, `save` after every benchmark, then fit.

    `chosen`: these benchmarks instead of the device's plan. Returns the calibration, and what makes it less
    trustworthy. Raises SparsecalcError where nothing could be measured.
    """
    cases = chosen if chosen is not None else plan_cases(plan_for(device, quick), memory_bytes(device)[0])
    conditions = environment(device)
    warnings = doubts(conditions, noise(device))
    found = earlier or _started(device, conditions)
    left = [case for case in cases if not any(case.is_row(row) for row in found.rows)]
    end = perf_counter() + budget_seconds if budget_seconds is not None else None
    seconds = plan_for(device, quick).seconds
    step, skipped = progress(len(left)), 0
    for case in left:
        if end is not None and perf_counter() >= end:
            skipped += 1
            continue
        step(case.name)
        try:
            row = run_case(case, device, seconds)
        except (RuntimeError, MemoryError, SparsecalcError) as error:
            warnings.append(Note(code="benchmark-failed", text=f"{case.name}: {_first_line(error)}; left out"))
            continue
        found = found.but(rows=[*found.rows, row])
        save(found)
    experts_module.cache_clear()
    if device.type == "cuda":
        after = environment(device)
        found = found.but(environment={**found.environment, "after": after})
        warnings += [warn for warn in doubts(after) if warn not in warnings]
    if not found.rows:
        raise SparsecalcError("no benchmark could be run" + (" within the time budget" if skipped else ""))
    if skipped:
        text = f"the time budget ended before {skipped} of {len(cases)} benchmarks; --resume runs them"
        warnings.append(Note(code="time-budget", text=text))
    if chosen is None:
        found, more = _with_collectives(found, device)
        warnings += more
    found, more = fitted(found)
    return found, warnings + more


def plan_for(device: torch.device, quick: bool) -> Plan:
    """The sizes for this kind of device; FP8 only where the device multiplies it."""
    if device.type != "cuda":
        return QUICK_CPU if quick else CPU
    plan = QUICK_GPU if quick else GPU
    if torch.cuda.get_device_capability(device) < (8, 9):
        plan = replace(plan, dtypes=tuple(dtype for dtype in plan.dtypes if dtype != "fp8"))
    return plan


def plan_cases(plan: Plan, free_bytes: int) -> list[Benchmark]:
    """The benchmarks of a plan that fit into the memory; kinds take turns, so that a short time budget serves all."""
    most = int(MEMORY_SHARE * free_bytes)
    kinds = [
        [copy_case(nbytes) for nbytes in plan.copies if 2 * nbytes <= most],
        [launch_case(graph) for graph in (False, True) if plan.graphs or not graph],
        [eager_case(model_type, what) for model_type in MODEL_TYPES for what in ("layer", "rest")],
        *([gemm_case(*shape, dtype) for shape in gemm_shapes(plan)] for dtype in plan.dtypes),
        _attention_cases(plan, most),
        [moe_case(name, tokens, "grouped_mm", most) for name in plan.experts_of for tokens in plan.moe_tokens],
        [
            elementwise_case(what, tokens, spec_config(name)["hidden_size"], "bf16")
            for what in ("rms_norm", "silu_mul")
            for name in plan.attention_of[:1]
            for tokens in plan.elementwise_tokens
        ],
    ]
    return [case for case in chain.from_iterable(zip_longest(*kinds)) if case is not None]


def gemm_shapes(plan: Plan, seed: int = 0) -> list[tuple[int, int, int]]:
    """M, N, K, log-uniform; every other M is at most FEW_ROWS; N and K are multiples of 128, as models have them."""
    draw = random.Random(seed)

    def between(low: float, high: float) -> int:
        return round(low * (high / low) ** draw.random())

    shapes = []
    for index in range(plan.gemms):
        rows = between(1, FEW_ROWS) if index % 2 == 0 else between(FEW_ROWS, plan.most_rows)
        rows = 1 if index % EVERY == 0 else rows
        shapes.append((rows, *(128 * max(1, round(between(*plan.sides) / 128)) for _ in range(2))))
    return shapes  # type: ignore[return-value]


def _attention_cases(plan: Plan, most_bytes: int) -> list[Benchmark]:
    cases = []
    for name in plan.attention_of:
        config = spec_config(name)
        count = config["num_attention_heads"]
        heads = HeadShape(
            count, config["num_key_value_heads"], config.get("head_dim") or config["hidden_size"] // count
        )
        for batch_size, context_len in plan.decode:
            if 2 * cache_bytes(heads, batch_size * context_len, "bf16") <= most_bytes:
                cases.append(attention_case(heads, batch_size, context_len, "bf16", prefill=False))
        cases += [attention_case(heads, 1, context_len, "bf16", prefill=True) for context_len in plan.prefill]
    return cases


def _started(device: torch.device, conditions: dict[str, Any]) -> Calibration:
    name = device_name(device)
    return Calibration(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device.type,
        device_name=name,
        accelerator=accelerator_of(name, conditions["memory_bytes"]) if device.type == "cuda" else None,
        complete=False,
        environment=conditions,
    )


def _with_collectives(found: Calibration, device: torch.device) -> tuple[Calibration, list[Note]]:
    """All-reduce and all-to-all among the GPUs of this machine, where it has several."""
    if device.type != "cuda" or torch.cuda.device_count() < 2 or any(row["op"] == "all_reduce" for row in found.rows):
        return found, []
    try:
        rows = measure_collectives(torch.cuda.device_count())
    except SparsecalcError as error:
        return found, [Note(code="benchmark-failed", text=f"collectives: {error}; left out")]
    return found.but(rows=[*found.rows, *rows]), []


def fitted(found: Calibration) -> tuple[Calibration, list[Note]]:
    """The calibration with constants fitted to its rows: shares of the data sheet's peaks where the device is known.

    Elsewhere peaks and bandwidth are the best that was measured. `prior` holds the constants before the fit. A class
    of operations with too few rows keeps them, and without a matrix product and a copy nothing can be fitted.
    """
    if not {"gemm", "copy"} <= {row["op"] for row in found.rows}:
        text = "no constants were fitted: that needs a matrix product and a copy at least"
        return found.but(complete=True), [Note(code="not-fitted", text=text)]
    try:
        from sparsecalc.device.assemble import blank_device, device_model
        from sparsecalc.device.find import load_accelerator
        from sparsecalc.measure.calibrate.device_fit import base_model, fit, fit_collectives
        from sparsecalc.measure.calibrate.engine_fit import fit_engine
    except ModuleNotFoundError as error:
        text = f"no constants were fitted: {error.name} is missing"
        return found.but(complete=True), [Note(code="not-fitted", text=text)]
    if found.accelerator:
        prior = device_model(load_accelerator(found.accelerator))
    else:
        blank = blank_device(found.device_name, matrix_unit_rows=1 if found.device == "cpu" else 8)
        prior = base_model(blank, found.rows)
    kernels, residuals = fit(found.rows, prior)
    collectives, more = fit_collectives(found.rows, prior)
    engine = fit_engine(found.rows, prior.but(constants={**prior.constants, **kernels}))
    constants = {
        "accelerator": found.accelerator,
        **({} if found.accelerator else {name: getattr(prior, name) for name in MEASURED}),
        "kernels": {name: constants.to_dict() for name, constants in kernels.items()},
        "collectives": {name: constants.to_dict() for name, constants in collectives.items()},
        "engine": engine.to_dict() if engine else None,
    }
    before = {
        "kernels": {name: prior.of(*name.split(".", 1)).to_dict() for name in kernels},
        "collectives": {name: prior.collectives[name].to_dict() for name in collectives},
    }
    errors = {name: residual.to_dict() for name, residual in {**residuals, **more}.items()}
    return found.but(complete=True, constants=constants, prior=before, residuals=errors), []


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0][:160]}' if lines else ''}"
