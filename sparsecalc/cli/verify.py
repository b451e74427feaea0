"""`verify`: every count against the real architecture."""

from typing import Annotated

import typer

from sparsecalc.cli._options import Format, FromArchitecture, Json, Output


def verify(
    models: Annotated[list[str] | None, typer.Argument(help="models to hold against transformers")] = None,
    all: Annotated[bool, typer.Option("--all", help="every built-in spec")] = False,  # noqa: A002
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="also against the checkpoint's headers (asks the Hub)")
    ] = False,
    from_architecture: FromArchitecture = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Build the real architecture without weights, and hold every count against it; exit 1 if anything differs."""
    from sparsecalc.cli._measuring import verify_models
    from sparsecalc.cli._output import check_target, emit

    name = "json" if json else format
    check_target(output, name)
    report = verify_models(models or [], all, checkpoint, from_architecture)
    emit(report, name, output)
    if any(result.status == "differs" for result in report.results):
        raise typer.Exit(1)
