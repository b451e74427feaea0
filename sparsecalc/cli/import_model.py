"""`import`: a model as a spec file."""

from typing import Annotated

import typer

from sparsecalc.cli._options import Format, FromArchitecture, Json


def import_(
    source: Annotated[str, typer.Argument(help="config.json, folder, .gguf, -, or org/name on the Hub")],
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="the spec file to write (default: <id>.json here)")
    ] = None,
    from_architecture: FromArchitecture = False,
) -> None:
    """Write a spec file; for a Hub id, check the count against the checkpoint's headers and explain the difference."""
    from sparsecalc.cli._spec_files import import_model

    import_model(source, "json" if json else format, output, from_architecture)
