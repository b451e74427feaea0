"""Errors of llama.cpp and its like on consumer machines, each row with its stack left out of the fit."""

from typing import Any

from sparsecalc.data_files import read_data
from sparsecalc.decide.desk import desk_rows, engine_of, left_out_check, on_device, predict_desk_row
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.validate import Check

Row = dict[str, Any]
PHASES = {"decode": "decode", "prefill": "prompts"}


def left_out_checks() -> list[Check]:
    """Every row that lies on one device, beside what was predicted without its stack.

    A stack is a device under an engine's backend, whoever measured it; the band is that of a device without rows.
    """
    ratios: dict[str, float] = read_data("measurements/desk_left_out.json")["rows"]
    return [_check(row, ratios[row["id"]]) for row in desk_rows() if on_device(row) and row["id"] in ratios]


def _check(row: Row, ratio: float) -> Check:
    gpu = load_accelerator(row["gpu"])
    step = predict_desk_row(row, device_model(gpu, engine_of(row), without=(gpu.id,)))
    return left_out_check(row, ratio, step.spread, f"batch {row['batch_size']}")


def by_kind(check: Check) -> str:
    """Phase, and dense or a mixture of experts."""
    return f"{PHASES[check.what]}, {'mixtures of experts' if check.sparse else 'dense'}"


def by_engine(check: Check) -> str:
    """Engine with its backend, and phase."""
    return f"{check.engine}, {PHASES[check.what]}"


def by_device(check: Check) -> str:
    """Engine, device, and phase."""
    return f"{check.engine}, {check.gpu}, {PHASES[check.what]}"
