"""What llama.cpp, Ollama and MLX print of their memory, each figure beside what is predicted for it."""

from functools import cache, lru_cache
from typing import Any

from sparsecalc.data_files import read_data
from sparsecalc.decide.capacity import mlx_device
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.multi_token_prediction import variant_of
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import model_report
from sparsecalc.documents.show import ModelReport
from sparsecalc.estimate.engine_memory.log_row import LogRow
from sparsecalc.estimate.llama_memory.figures import MlxMemory
from sparsecalc.estimate.mlx_memory import MlxDevice

Row = dict[str, Any]


@cache
def _rows() -> tuple[Row, ...]:
    return tuple(read_data("measurements/llama_memory.json")["rows"])


def desk_log_rows() -> list[Row]:
    """The rows of data/measurements/llama_memory.json."""
    return list(_rows())


def desk_logs() -> list[LogRow]:
    """Every row with its prediction."""
    return [_log_row(row) for row in _rows()]


def _log_row(row: Row) -> LogRow:
    asked, run = (_predicted(row, as_run=as_run) for as_run in (False, True))
    told = {name: row[name] for name in ("id", "setup", "source", "figure", "measured")}
    return LogRow(**told, given_bytes=False, predicted=asked, predicted_as_run=run, why=row.get("why", ""))


def _options(row: Row, *, as_run: bool) -> Row:
    """What a user asks, or all that the source tells."""
    return {**row["asked"], **(row.get("as_run", {}) if as_run else {})}


def _predicted(row: Row, *, as_run: bool) -> float:
    report = _report(row["model"], tuple(sorted(_options(row, as_run=as_run).items())))
    return float(getattr(_memory_with(report, row["figure"]), row["figure"]))


@lru_cache(maxsize=4)
def _report(model: str, options: tuple[tuple[str, Any], ...]) -> ModelReport:
    """A model's report; several rows are of one log."""
    return model_report(model, ask(**dict(options)))[0]


def _memory_with(report: ModelReport, figure: str) -> Any:
    """The part of a report that has a figure."""
    prediction = report.prediction
    places = (report.llama_memory, prediction and prediction.ollama_memory, prediction and prediction.mlx_memory)
    return next(place for place in reversed(places) if place and figure in vars(place))


def mlx_of_row(row: Row, live_steps: float) -> MlxMemory:
    """MLX's peak of a row with another number of results held at once, for the tool that fits it."""
    question = ask(**_options(row, as_run=True))
    variant = variant_of(row["model"], question)
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    device = mlx_device(deployed, question)
    assert device is not None, "the row is of MLX"
    rules = device.rules.but(live_steps=live_steps)
    return MlxDevice(deployed.model, deployed.precision, rules).figures(question.load)
