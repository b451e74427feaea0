"""`sparsecalc calibrate`: make predictions this device's own."""

from typing import Annotated

import typer

from sparsecalc.cli._options import Format, Json


def calibrate(
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps (default: cuda where there is one)")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer shapes, fewer samples")] = False,
    time_budget: Annotated[
        float | None, typer.Option("--time-budget", min=0, help="seconds after which no benchmark is begun")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted run stopped")] = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="the calibration file to write (default: this user's own)")
    ] = None,
) -> None:
    """Measure this device's kernels and fit the constants of predictions to them: --gpu local, --calibration FILE."""
    from sparsecalc.cli._calibration_files import calibrate_device
    from sparsecalc.cli._output import check_target, emit

    name = "json" if json else format
    check_target(output, name)
    emit(calibrate_device(device, quick, time_budget, resume, output), name, None)
