"""Fit servers' profiles in data/engines.json to serving runs: python tools/fit_serving.py [--write].

    TPOT = seconds of the kernels + step_seconds + sequence_seconds * sequences

`step_seconds` and `sequence_seconds` of each engine, drawn to what they were before any serving run was looked at, from
the rows of data/measurements/serving.json that are neither contradicted nor set apart, each stack (model, accelerator,
engine, format) weighing as much as the square root of its rows. Errors and spreads are of stacks left out: every stack
is predicted by the fit to all others. The spread of a step is that of its kernels and the engine's `spread`, times a
factor with which the 80 % band holds `COVERED` of its class (engine and kind of model), the rows of other engines at a
lower weight; the factor `elsewhere` comes from the reports of users
(data/measurements/serving_reports.json). Eager mode: seconds of Python per kernel, from the reports that ran so.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecalc.data_files import data_folder
from sparsecalc.decide.published import (
    is_measure,
    model_kind,
    serving_checks,
    serving_report_rows,
    serving_rows,
    shipped_device,
)
from sparsecalc.device.time_constants import COPIES, ELSEWHERE, DeviceModel
from sparsecalc.estimate.step import BAND
from sparsecalc.measure.calibrate.constants_fit import least_error

Row = dict[str, Any]
Array = np.ndarray[Any, Any]
FOLDER = data_folder()
ENGINES = ("vllm", "sglang", "trtllm")
GENERIC = "generic"
START = np.array([1e-3, 4e-6])
"""step_seconds and sequence_seconds, as chosen before any serving run was looked at."""
PULL = np.array([0.03e-3, 3e-6])
"""How far from it one stack may draw them: standard deviations of their prior."""
NOISE = 0.12
"""Standard deviation of a stack's error that the fit expects."""
SOFT = 0.1
COVERED = 0.82
OTHER_ENGINES = 0.25
"""Weight of the rows of other engines in a factor."""
STACKS_OF_PRIOR = 4
"""How many stacks the spread of the kernels themselves, a factor of 1, counts as."""
LEFT_OUT = (
    "Each stack (model, accelerator, engine, format) is predicted by the fit to all others, and its bands have the"
    " spread that was learnt from all others. Rows that are contradicted or set apart in data/measurements/serving.json"
    " are not counted."
)
EAGER_GRID = np.arange(0, 101, 1) * 1e-6


class Runs:
    """Rows of serving runs as arrays: seconds without the engine's own, sequences per step, spread."""

    def __init__(self, rows: list[Row], device_of: Callable[[str, str], DeviceModel] = shipped_device) -> None:
        self.rows = rows
        none, per_step, per_sequence = (
            list(serving_checks(rows, _with_engine(device_of, step, sequence)))
            for step, sequence in ((0.0, 0.0), (1e-3, 0.0), (0.0, 1e-6))
        )
        self.measured = np.array([check.measured_seconds for check in none])
        self.kernels = np.array([check.predicted_seconds for check in none])
        self.steps = (np.array([check.predicted_seconds for check in per_step]) - self.kernels) / 1e-3
        self.sequences = (np.array([check.predicted_seconds for check in per_sequence]) - self.kernels) / 1e-6
        high = np.array([check.seconds_high for check in none])
        self.spread = np.log(high / self.kernels) / BAND
        self.stack = np.array(["|".join(row[key] for key in ("model", "gpu", "engine", "dtype")) for row in rows])
        self.engine = np.array([row["engine"] for row in rows])
        self.kind = np.array([COPIES if row.get("dp", 1) > 1 else model_kind(row["model"]) for row in rows])

    def errors(self, constants: Array) -> Array:
        """ln(predicted / measured) with one pair of constants for all rows."""
        own: Array = constants[0] * self.steps + constants[1] * self.sequences
        found: Array = np.log((self.kernels + own) / self.measured)
        return found


def _with_engine(device_of: Callable[[str, str], DeviceModel], step: float, sequence: float) -> Any:
    def device(gpu: str, engine: str) -> DeviceModel:
        own = device_of(gpu, engine)
        bare = own.engine.but(step_seconds=step, sequence_seconds=sequence, spread_factors={})
        return own.but(engine=bare)

    return device


def weights(stacks: Array) -> Array:
    """Weights of rows: those of a stack weigh as much as the square root of their number together."""
    count = Counter(stacks.tolist())
    return np.array([float(count[stack]) ** -0.5 for stack in stacks.tolist()])


def fitted(runs: Runs, chosen: Array) -> Array:
    """step_seconds and sequence_seconds from the chosen rows of one engine; the start where there are none."""
    if not chosen.any():
        return START
    weight = np.sqrt(weights(runs.stack[chosen])) / NOISE
    low, high, none = -START / PULL, np.full(2, 10.0), np.zeros(2)

    def errors(x: Array) -> Array:
        return np.asarray(weight * runs.errors(START + x * PULL)[chosen])

    best = least_error(errors, none, (low, high), center=none, pull=1.0, soft=SOFT / NOISE)
    return np.asarray(START + best * PULL)


def left_out_errors(runs: Runs, fits: Array) -> Array:
    """Errors of every row by the fit to the other stacks of its engine."""
    found = np.full(len(runs.rows), np.nan)
    for stack in sorted(set(runs.stack.tolist())):
        own = runs.stack == stack
        others = fits & (runs.engine == runs.engine[own][0]) & ~own
        found[own] = runs.errors(fitted(runs, others))[own]
    return found


def factor_for(errors: Array, spread: Array, weight: Array) -> float:
    """The least factor on the spread with which the 80 % band holds `COVERED` of the rows, by weight."""
    needed = abs(errors) / (BAND * spread)
    order = np.argsort(needed)
    place = int(np.searchsorted(np.cumsum(weight[order]), COVERED * weight.sum()))
    return float(f"{needed[order][min(place, len(order) - 1)]:.3g}")


def factors(runs: Runs, errors: Array, engine: str, use: Array) -> dict[str, float]:
    """The factor on the spread of each kind of model under an engine; all engines alike for the generic one.

    n stacks draw it from 1 by n / (n + `STACKS_OF_PRIOR`) of its logarithm; copies of the attention, which no kernel
    tells, wholly.
    """
    share = np.ones(len(runs.rows))
    if engine != GENERIC:
        share = np.where(runs.engine == engine, 1.0, OTHER_ENGINES)
    found = {}
    for kind in sorted(set(runs.kind[use].tolist())):
        part = use & (runs.kind == kind)
        raw = factor_for(errors[part], runs.spread[part], (weights(runs.stack) * share)[part])
        stacks = sum(dict(zip(runs.stack[part], share[part], strict=True)).values())
        drawn = 1.0 if kind == COPIES else stacks / (stacks + STACKS_OF_PRIOR)
        found[str(kind)] = float(f"{raw**drawn:.3g}")
    return found


def left_out_coverage(runs: Runs, errors: Array, use: Array) -> Array:
    """Whether the band of a row holds, with the spreads learnt from the other stacks; nan where they have none."""
    found = np.full(len(runs.rows), np.nan)
    for stack in sorted(set(runs.stack[use].tolist())):
        own = use & (runs.stack == stack)
        learnt = factors(runs, errors, str(runs.engine[own][0]), use & ~own)
        factor = np.array([learnt.get(kind, max(learnt.values())) for kind in runs.kind[own].tolist()])
        found[own] = abs(errors[own]) <= BAND * factor * runs.spread[own]
    return found


def eager_seconds(rows: list[Row]) -> float:
    """Seconds of Python per kernel with the least mean error of the reports that ran in eager mode."""
    eager = [row for row in rows if row["eager"]]

    def mean_error(seconds: float) -> float:
        def device(gpu: str, engine: str) -> DeviceModel:
            own = shipped_device(gpu, engine)
            return own.but(engine=own.engine.but(eager_launch_seconds=seconds))

        checks = serving_checks(eager, device)
        return float(np.mean([abs(np.log(check.predicted_seconds / check.measured_seconds)) for check in checks]))

    return round(float(min(EAGER_GRID, key=mean_error)), 7)


def summary(group: str, errors: Array, inside: Array) -> Row:
    sizes = abs(np.expm1(errors))
    return {
        "group": group,
        "rows": len(errors),
        "mean_error": round(float(sizes.mean()), 4),
        "median_error": round(float(np.median(sizes)), 4),
        "p90_error": round(float(np.percentile(sizes, 90)), 4),
        "bias": round(float(np.median(np.expm1(errors))), 4),
        "coverage": round(float(np.nanmean(inside)), 3),
    }


def groups(runs: Runs, use: Array) -> dict[str, Array]:
    """The rows by what they are reported by."""
    copies = runs.kind == COPIES
    kinds = {"dense": runs.kind == "dense", "mixture of experts": np.char.find(runs.kind, "moe") >= 0}
    found = {"all": use & ~copies, **{name: use & part for name, part in kinds.items()}}
    for engine in ENGINES:
        found |= {f"{engine}, {name}": use & part & (runs.engine == engine) for name, part in kinds.items()}
    gpus = np.array([row["gpu"] for row in runs.rows])
    for gpu in sorted(set(gpus.tolist())):
        found[str(gpu)] = use & ~copies & (gpus == gpu)
    return {name: part for name, part in {**found, "attention data parallelism": use & copies}.items() if part.any()}


class Fit:
    """All that is fitted, and how it does on stacks left out."""

    def __init__(self, runs: Runs, generic: Runs, reports: list[Row]) -> None:
        self.runs, self.use = runs, np.array([is_measure(row) for row in runs.rows])
        fits = self.use & (runs.kind != COPIES)
        self.constants = {engine: fitted(runs, fits & (runs.engine == engine)) for engine in ENGINES}
        self.errors = left_out_errors(runs, fits)
        self.inside = left_out_coverage(runs, self.errors, self.use)
        self.factors = {engine: factors(runs, self.errors, engine, self.use) for engine in ENGINES}
        self.factors[GENERIC] = factors(generic, generic.errors(START), GENERIC, self.use)
        self.eager = eager_seconds(reports)
        self._elsewhere(reports)

    def _elsewhere(self, rows: list[Row]) -> None:
        def device(gpu: str, engine: str) -> DeviceModel:
            own = shipped_device(gpu, engine)
            return own.but(engine=own.engine.but(eager_launch_seconds=self.eager))

        self.reports = runs = Runs(rows, device)
        self.far = np.array([runs.errors(self.constants[row["engine"]])[at] for at, row in enumerate(rows)])
        weight = weights(runs.stack)
        self.far_inside = np.zeros(len(rows))
        for stack in set(runs.stack.tolist()):
            others, own = runs.stack != stack, runs.stack == stack
            factor = factor_for(self.far[others], runs.spread[others], weight[others])
            self.far_inside[own] = abs(self.far[own]) <= BAND * factor * runs.spread[own]
        for found in self.factors.values():
            found[ELSEWHERE] = factor_for(self.far, runs.spread, weight)
        alike = Runs(rows, lambda gpu, _: device(gpu, GENERIC))
        self.factors[GENERIC][ELSEWHERE] = factor_for(alike.errors(START), alike.spread, weight)

    def left_out(self) -> list[Row]:
        """Errors and coverage of stacks left out, by group; users' reports at the end."""
        parts = groups(self.runs, self.use)
        found = [summary(name, self.errors[part], self.inside[part]) for name, part in parts.items()]
        sparse = np.char.find(self.reports.kind, "moe") >= 0
        for name, part in (("all", sparse | True), ("dense", ~sparse), ("mixture of experts", sparse)):
            found.append(summary(f"reports of users, {name}", self.far[part], self.far_inside[part]))
        return found


def update(table: Row, fit: Fit, gpus: list[str]) -> None:
    """Put what was fitted into the profiles."""
    stacks = len(set(fit.runs.stack[fit.use].tolist()))
    for entry in table["engines"]:
        if entry["id"] not in fit.factors:
            continue
        entry["spread_factors"], entry["measured_on"] = fit.factors[entry["id"]], gpus
        if entry["id"] == GENERIC:
            continue
        step, sequence = fit.constants[entry["id"]].tolist()
        entry["step_seconds"], entry["sequence_seconds"] = float(f"{step:.3g}"), float(f"{sequence:.3g}")
        if entry["id"] != "trtllm":
            entry["eager_launch_seconds"] = fit.eager
        entry["source"] = (
            "step_seconds, sequence_seconds and spread_factors fitted by tools/fit_serving.py to"
            f" {int(fit.use.sum())} rows of {stacks} stacks in data/measurements/serving.json, the factor elsewhere"
            " and eager_launch_seconds to users' reports in serving_reports.json; kernels: data/kernel_constants.json"
        )


def main() -> None:
    rows = serving_rows()
    generic = Runs(rows, lambda gpu, _: shipped_device(gpu, GENERIC))
    fit = Fit(Runs(rows), generic, serving_report_rows())
    summaries = fit.left_out()
    for engine, found in fit.factors.items():
        print(engine, fit.constants.get(engine, START).tolist(), found)
    print("eager", fit.eager)
    for each in summaries:
        print(*(f"{value:.3f}" if isinstance(value, float) else f"{value}" for value in each.values()))
    if "--write" in sys.argv:
        table = json.loads((FOLDER / "engines.json").read_text())
        update(table, fit, sorted({row["gpu"] for row in rows}))
        (FOLDER / "engines.json").write_text(json.dumps(table, indent=1) + "\n")
        head = {"source": "tools/fit_serving.py", "comment": LEFT_OUT, "groups": summaries}
        (FOLDER / "measurements" / "serving_left_out.json").write_text(json.dumps(head, indent=1) + "\n")


if __name__ == "__main__":
    main()
