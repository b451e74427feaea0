"""`validate`: predictions beside the measurements that ship with the package."""

from typing import Annotated, Any

import typer

from sparsecalc.cli.options import OUTPUT, emit_as_asked, takes


@takes(OUTPUT)
def validate(
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="write docs/accuracy.md in a checkout, or to the file that -o names")
    ] = False,
    **given: Any,
) -> None:
    """How far predictions are from published measurements, by class of kernels, accelerator, engine and model."""
    from sparsecalc.decide.validate import validate as find

    if write_docs:
        _write_page(given["output"] or "docs/accuracy.md")
    else:
        emit_as_asked(given, find)


def _write_page(target: str) -> None:
    from pathlib import Path

    from sparsecalc.cli.output import check_target, write_atomically
    from sparsecalc.decide.validate import validate as find
    from sparsecalc.reports.validation import accuracy_page

    check_target(target, "markdown")
    write_atomically(Path(target), accuracy_page(find()))
