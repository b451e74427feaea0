"""Options that `profile` and `bench` share."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparsecalc.cli._options import CalibrationFile, Options, RoutingOf

if TYPE_CHECKING:
    from sparsecalc.decide.measured_run import MeasuredRun

Model = Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps (default: cuda if there is one)")]
Layers = Annotated[str, typer.Option(help="layers of each kind that are run: a number, or auto")]
MeasuredDtype = Annotated[str, typer.Option(help="bf16, fp16 or fp32")]

ExpertsImplementation = Annotated[
    str | None, typer.Option("--experts-implementation", help="eager, batched_mm or grouped_mm (default: as it comes)")
]
Budget = Annotated[float, typer.Option("--time-budget", help="seconds for all measurements")]
MemoryLimit = Annotated[
    float | None, typer.Option("--memory-limit", help="GiB that may be used (default: 60 % of what is free)")
]

RUN: Options = {
    "device": (Device, None),
    "layers": (Layers, "auto"),
    "dtype": (MeasuredDtype, "bf16"),
    "experts_implementation": (ExpertsImplementation, None),
    "routing": (RoutingOf, "uniform"),
    "time_budget": (Budget, 300.0),
    "memory_limit": (MemoryLimit, None),
    "calibration": (CalibrationFile, None),
}


def measured_run(given: dict[str, Any]) -> "MeasuredRun":
    """The options of `RUN` as one description. Raises InputError where one cannot be read."""
    from sparsecalc.decide.measured_run import MeasuredRun

    return MeasuredRun(
        device=given["device"],
        layers=_layers(given["layers"]),
        dtype=given["dtype"].lower(),
        experts_implementation=given["experts_implementation"],
        routing=given["routing"],
        time_budget_seconds=given["time_budget"],
        memory_limit_bytes=_gibibytes(given["memory_limit"]),
        calibration=given["calibration"],
    )


def _layers(text: str) -> int | None:
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    if text.strip().lower() == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--layers is {brief(text)}", hint="It is a whole number, or auto") from error


def _gibibytes(value: float | None) -> int | None:
    from sparsecalc.core.errors import InputError

    if value is None:
        return None
    if not 0 < value < 2**20:
        raise InputError(f"--memory-limit is {value}", hint="It is in GiB, for example 8")
    return int(value * 2**30)
