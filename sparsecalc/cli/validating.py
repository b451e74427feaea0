"""`validate`: predictions beside the measurements that ship with the package."""

from typing import Annotated

import typer

from sparsecalc.cli.options import Format, Json, Output


def validate(
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="write docs/accuracy.md in a checkout, or to the file that -o names")
    ] = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """How far predictions are from published measurements, by class of kernels, accelerator, engine and model."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.validate import validate as find

    if write_docs:
        _write_page(output or "docs/accuracy.md")
        return
    name = "json" if json else format
    check_target(output, name)
    emit(find(), name, output)


def _write_page(target: str) -> None:
    from pathlib import Path

    from sparsecalc.cli.output import check_target, write_atomically
    from sparsecalc.decide.validate import validate as find
    from sparsecalc.reports.validation import accuracy_page

    check_target(target, "markdown")
    write_atomically(Path(target), accuracy_page(find()))
