"""Measured steps of which a part lay in host memory, each beside what the time model says of it."""

from typing import Any

from sparsecalc.decide.asked_host import host_asked
from sparsecalc.decide.asked_parts import offload_of
from sparsecalc.decide.desk import as_run, desk_rows, engine_of, left_out_check, on_device, steps_of
from sparsecalc.decide.placement import placement_on
from sparsecalc.decide.question import Parallelism
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.host import host_table
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import Step

Row = dict[str, Any]
PAGING = "pages from disk"
"""In the note of a row: its weights did not fit host memory."""


def offload_rows() -> list[Row]:
    """Rows of data/measurements/desk.json of which a part lay in host memory; of unverified ones those that decode."""
    rows = (row for row in desk_rows() if not on_device(row))
    return [row for row in rows if row["quality"] != "C" or row["phase"] == "decode"]


def offload_step(row: Row) -> tuple[Step, Placement]:
    """What the time model says of a row, and its placement."""
    model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
    gpu = load_accelerator(row["gpu"])
    device = device_model(gpu, engine_of(row))
    host = host_asked({"n_gpu_layers": row.get("n_gpu_layers"), "host": row.get("host")})
    parallelism = Parallelism(offload=offload_of(row.get("offload")), host=host)
    plan = placement_on(model.spec, parallelism, gpu, device)
    deployed = Deployment(model, precision, gpu, device, plan)
    works = steps_of(row, device.engine.micro_batch or row["context_len"])
    return deployed.prompt(works), plan


def offload_checks() -> list[Check]:
    """Every row that took part in the fit of the host, beside what was predicted without its source."""
    ratios: dict[str, float] = host_table()["left_out"]["rows"]
    return [_check(row, ratios[row["id"]]) for row in offload_rows() if row["id"] in ratios]


def _check(row: Row, ratio: float) -> Check:
    placed = row.get("offload") or row.get("n_gpu_layers")
    return left_out_check(row, ratio, offload_step(row)[0].spread, str(placed))
