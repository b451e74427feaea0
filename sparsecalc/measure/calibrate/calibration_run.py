"""Calibrate a device: run the micro-benchmarks one by one, keep every row, fit the constants of predictions to them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import torch

from sparsecalc.core.errors import SparsecalcError, named_reason_of
from sparsecalc.core.notes import Note
from sparsecalc.device.calibration import Calibration
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.measure.calibrate.benchmark import Benchmark, run_benchmark
from sparsecalc.measure.calibrate.benchmark_plans import plan_for, planned_benchmarks
from sparsecalc.measure.calibrate.collectives import measure_collectives
from sparsecalc.measure.calibrate.expert_benchmarks import experts_module
from sparsecalc.measure.machine.conditions import doubts, machine_conditions, noise
from sparsecalc.measure.machine.device import device_name, memory_bytes

Progress = Callable[[int], Callable[[str], None]]
"""Given the number of benchmarks, returns a function that is called with the name of each as it starts."""


def calibrate(
    device: torch.device,
    *,
    quick: bool = False,
    budget_seconds: float | None = None,
    earlier: Calibration | None = None,
    save: Callable[[Calibration], None] = lambda calibration: None,
    progress: Progress = lambda count: lambda name: None,
    chosen: list[Benchmark] | None = None,
) -> tuple[Calibration, list[Note]]:
    """Measure what `earlier` (an interrupted run) lacks, `save` after every benchmark, then fit.

    `budget_seconds` are shared out among the benchmarks; once they are over none is begun. `chosen`: these benchmarks
    instead of the device's plan. Returns the calibration, and what makes it less
    trustworthy. Raises SparsecalcError where nothing could be measured.
    """
    plan = plan_for(device, quick)
    benchmarks = planned_benchmarks(plan, memory_bytes(device)[0]) if chosen is None else chosen
    conditions = machine_conditions(device)
    run = _CalibrationRun(device, earlier or _started(device, conditions), doubts(conditions, noise(device)))
    end = None if budget_seconds is None else perf_counter() + budget_seconds
    share = budget_seconds / max(1, len(benchmarks)) if budget_seconds else plan.seconds
    skipped = run.measure(benchmarks, min(plan.seconds, share), end, save, progress)
    experts_module.cache_clear()
    run.look_again()
    if not run.calibration.rows:
        raise SparsecalcError("no benchmark could be run" + (" within the time budget" if skipped else ""))
    if skipped:
        text = f"the time budget ended before {skipped} of {len(benchmarks)} benchmarks; --resume runs them"
        run.warnings.append(Note(code="time-budget", text=text))
    if chosen is None:
        run.add_collectives()
    calibration, notes = _fitted(run.calibration)
    return calibration, run.warnings + notes


@dataclass
class _CalibrationRun:
    """A calibration as it grows, and what makes it less trustworthy."""

    device: torch.device
    calibration: Calibration
    warnings: list[Note]

    def measure(
        self,
        benchmarks: list[Benchmark],
        seconds_each: float,
        end: float | None,
        save: Callable[[Calibration], None],
        progress: Progress,
    ) -> int:
        """Run every benchmark that has no row yet; returns how many were skipped because `end` had passed."""
        missing = [each for each in benchmarks if not any(each.is_row(row) for row in self.calibration.rows)]
        step, skipped = progress(len(missing)), 0
        for benchmark in missing:
            if end is not None and perf_counter() >= end:
                skipped += 1
                continue
            step(benchmark.name)
            try:
                row = run_benchmark(benchmark, self.device, seconds_each)
            except (RuntimeError, MemoryError, SparsecalcError) as error:
                text = f"{benchmark.name}: {named_reason_of(error)}; left out"
                self.warnings.append(Note(code="benchmark-failed", text=text))
                continue
            self.calibration = self.calibration.but(rows=[*self.calibration.rows, row])
            save(self.calibration)
        return skipped

    def look_again(self) -> None:
        """Add the conditions of a GPU after the benchmarks, which heat it."""
        if self.device.type == "cuda":
            after = machine_conditions(self.device)
            self.calibration = self.calibration.but(environment={**self.calibration.environment, "after": after})
            self.warnings += [note for note in doubts(after) if note not in self.warnings]

    def add_collectives(self) -> None:
        """Add all-reduce and all-to-all among the GPUs of this machine, where it has several and no rows yet."""
        rows, count = self.calibration.rows, torch.cuda.device_count() if self.device.type == "cuda" else 0
        if count < 2 or any(row["op"] == "all_reduce" for row in rows):
            return
        try:
            self.calibration = self.calibration.but(rows=[*rows, *measure_collectives(count)])
        except SparsecalcError as error:
            self.warnings.append(Note(code="benchmark-failed", text=f"collectives: {error}; left out"))


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


def _fitted(calibration: Calibration) -> tuple[Calibration, list[Note]]:
    """The calibration with fitted constants; without them where a package for the fit is missing."""
    try:
        from sparsecalc.measure.calibrate.calibration_fit import fitted
    except ModuleNotFoundError as error:
        text = f"no constants were fitted: {error.name} is missing"
        return calibration.but(complete=True), [Note(code="not-fitted", text=text)]
    return fitted(calibration)
