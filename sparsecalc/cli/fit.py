"""`fit`: where models fit, and what fits on a device."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, PARTS, check_output, question_options, takes


@takes(LOAD, PARTS, DEVICES, OUTPUT)
def fit(
    models: Annotated[
        list[str] | None, typer.Argument(help="one model or several; with --on: all built-in ones")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="what runs on this device: all built-in models, best first")
    ] = None,
    max_gpus: Annotated[
        int | None, typer.Option("--max-gpus", help="devices at most (default: 8; with --on: 1)")
    ] = None,
    tpot: Annotated[
        str | None, typer.Option("--tpot", help="time per token that is fast enough: 50ms (default: 100ms)")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="rows, 0 for all (default: 20)")] = None,
    commands: Annotated[bool, typer.Option("--commands", help="what to type to serve each that fits")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="print nothing: the exit code is 0 where it fits, else 1")
    ] = False,
    **given: Any,
) -> None:
    """Least number of devices, best precision, largest batch and context, speed, price; exit 1 where nothing fits."""
    from sparsecalc.cli._output import emit
    from sparsecalc.decide.fit import fit as find
    from sparsecalc.decide.fit_question import fit_asked

    name = check_output(given)
    own: dict[str, Any] = {"on": on, "max_gpus": max_gpus, "tpot": tpot, "rows": limit, "commands": commands}
    report = find(models or [], fit_asked(**own, **question_options(given)))
    if not quiet:
        emit(report, name, given["output"])
    if not report.fits:
        raise typer.Exit(1)
