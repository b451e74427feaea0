"""Errors of llama.cpp and its like on consumer machines, each row with its stack left out of the fit."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import exp
from statistics import fmean
from typing import Any

from sparsecalc.data_files import read_data
from sparsecalc.decide.desk import desk_rows, engine_of, kind_of, on_device, predict_desk_row
from sparsecalc.decide.error_groups import accuracy_of
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.validate import Accuracy, Check
from sparsecalc.estimate.step import BAND

Row = dict[str, Any]
PHASES = {"decode": "decode", "prefill": "prompts"}


def left_out_checks() -> list[Check]:
    """Every row that lies on one device, beside what was predicted without its stack.

    A stack is a device under an engine's backend, whoever measured it; the band is that of a device without rows.
    """
    ratios: dict[str, float] = read_data("measurements/desk_left_out.json")["rows"]
    return [_check(row, ratios[row["id"]]) for row in desk_rows() if on_device(row) and row["id"] in ratios]


def _check(row: Row, ratio: float) -> Check:
    gpu, engine = load_accelerator(row["gpu"]), engine_of(row)
    spread = float(predict_desk_row(row, device_model(gpu, engine, without=(gpu.id,))).spread)
    predicted = row["seconds_per_step"] * ratio
    return Check(
        source="desk",
        what=row["phase"],
        model=row["model"],
        gpu=row["gpu"],
        engine=engine,
        where=f"{row['weights']}, batch {row['batch_size']}, context {row['context_len']}",
        measured_seconds=row["seconds_per_step"],
        predicted_seconds=predicted,
        seconds_low=predicted * exp(-BAND * spread),
        seconds_high=predicted * exp(BAND * spread),
        quality=row["quality"],
        sparse=kind_of(row) == "moe",
    )


def error_groups(checks: Iterable[Check], group: Callable[[Check], str]) -> list[Accuracy]:
    """Errors and coverage by group."""
    found: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        found[group(check)].append(check)
    return [
        accuracy_of(name, [check.error for check in found[name]], fmean(check.inside for check in found[name]))
        for name in sorted(found)
    ]


def by_kind(check: Check) -> str:
    """Phase, and dense or a mixture of experts."""
    return f"{PHASES[check.what]}, {'mixtures of experts' if check.sparse else 'dense'}"


def by_engine(check: Check) -> str:
    """Engine with its backend, and phase."""
    return f"{check.engine}, {PHASES[check.what]}"


def by_device(check: Check) -> str:
    """Engine, device, and phase."""
    return f"{check.engine}, {check.gpu}, {PHASES[check.what]}"
