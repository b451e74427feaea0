"""Measured steps on consumer machines, each beside what the time model says of it."""

from functools import cache
from math import exp
from typing import Any

from sparsecalc.core.arrays import Number
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.published import fixed_batch_rows
from sparsecalc.device.engines import engine_entry
from sparsecalc.device.find import accelerator_ids, load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.serving import prefill_step
from sparsecalc.estimate.step import BAND, Step, step_time
from sparsecalc.model.ledgers import Ledgers

Row = dict[str, Any]
OLD_BUILD = "b2850"
"""llama.cpp's build at the time of the rows of May 2024."""


@cache
def as_run(model: str, weights: str, kv_cache: str) -> tuple[Ledgers, Precision]:
    """A model as it was run, and its formats."""
    variant = load_variant(model, weights, kv_cache)
    return variant.model, variant.precision


def desk_rows() -> list[Row]:
    """Rows of llama.cpp and its like: of data/measurements/desk.json, and of fixed_batch.json."""
    rows: list[Row] = [row for row in read_data("measurements/desk.json")["rows"] if row["gpu"] in accelerator_ids()]
    return [*rows, *fixed_batch_rows(desk=True)]


def engine_of(row: Row) -> str:
    """The engine with its backend, as `--engine` takes it."""
    backend = row.get("backend") or engine_entry(row["engine"], load_accelerator(row["gpu"])).get("backend")
    old = f"@{OLD_BUILD}" if "May 2024" in (row.get("engine_version") or "") else ""
    return f"{row['engine']}:{backend}{old}" if backend else str(row["engine"])


def steps_of(row: Row, micro_batch: int) -> list[Workload]:
    """The steps whose seconds are measured: one that decodes, or those of a prompt by its micro-batches."""
    batch, end = row["batch_size"], row["context_len"]
    if row["phase"] == "decode":
        return [Workload.decode(end, batch)]
    size = row.get("ubatch") or micro_batch or end
    start, steps = end - row["prompt_len"], []
    while start < end:
        reached = min(end, start + size)
        steps.append(Workload.prefill(reached, batch, logits="last").but(new_tokens=reached - start))
        start = reached
    return steps


def predict_desk_row(row: Row, device: DeviceModel) -> Step:
    """What the time model says of a row."""
    model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
    works = steps_of(row, device.engine.micro_batch)
    return prefill_step(works, lambda together: step_time(model, together, precision, device, Placement()))


def on_device(row: Row) -> bool:
    """Whether all of the model lay on the device."""
    return not {"offload", "n_gpu_layers"} & {*row}


def kind_of(row: Row) -> str:
    """`moe` for a mixture of experts, else `dense`."""
    spec = as_run(row["model"], row["weights"], row["kv_cache"])[0].spec
    return "moe" if spec.mixtures else "dense"


def left_out_check(row: Row, ratio: float, spread: Number, placed: str) -> Check:
    """A row beside `ratio` times its time, which was predicted without its stack; `placed`: what `where` says of it."""
    predicted, beside = row["seconds_per_step"] * ratio, exp(BAND * float(spread))
    return Check(
        source="desk",
        what=row["phase"],
        model=row["model"],
        gpu=row["gpu"],
        engine=engine_of(row),
        where=f"{row['weights']}, {placed}, context {row['context_len']}",
        measured_seconds=row["seconds_per_step"],
        predicted_seconds=predicted,
        seconds_low=predicted / beside,
        seconds_high=predicted * beside,
        quality=row["quality"],
        sparse=kind_of(row) == "moe",
    )
