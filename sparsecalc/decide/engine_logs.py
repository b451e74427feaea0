"""What logs of real servers print of their memory, each figure beside what is predicted for it."""

from functools import cache
from typing import Any

from sparsecalc.data_files import read_data
from sparsecalc.decide.capacity import engine_device
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.question import Question, ask
from sparsecalc.estimate.engine_memory.log_row import LogRow
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.read.config import read_config

Row = dict[str, Any]


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = read_data("measurements/engine_memory.json")
    return found


def engine_log_rows() -> list[Row]:
    """The rows of data/measurements/engine_memory.json."""
    rows: list[Row] = _table()["rows"]
    return rows


def logged_device(row: Row, *, as_run: bool) -> tuple[EngineDevice, Question]:
    """The device that a row's server fills, by the options of a user or by all that the source tells."""
    options = {**row["asked"], **(row.get("as_run", {}) if as_run else {})}
    config = _table()["configs"].get(row["model"])
    spec = read_config(config, model_id=row["model"]) if config else load_model(row["model"]).spec
    question = ask(**options)
    precision = precision_for(spec, options.get("dtype"), question.formats.kv_cache_dtype)
    deployed = deploy(Ledgers(spec), precision, question, question.devices.accelerators[0])
    device = engine_device(deployed, question)
    assert device is not None, "rows are of engines whose memory is modelled"
    return device, question


def engine_logs() -> list[LogRow]:
    """Every row with its prediction."""
    return [_log_row(row) for row in engine_log_rows()]


def _log_row(row: Row) -> LogRow:
    asked, run = (_predicted(row, as_run=as_run) for as_run in (False, True))
    told = {name: row[name] for name in ("id", "setup", "source", "figure", "measured")}
    return LogRow(
        **told,
        given_bytes="kv_cache_memory_bytes" in row["asked"],
        predicted=asked,
        predicted_as_run=run,
        why=row.get("why", ""),
    )


def _predicted(row: Row, *, as_run: bool) -> float:
    device, question = logged_device(row, as_run=as_run)
    return float(getattr(device.figures(question.load), row["figure"]))
