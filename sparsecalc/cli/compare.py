"""`compare`: several models side by side."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, PARTS, REQUESTS, SPECULATION, emit_as_asked, question, takes


@takes(LOAD, PARTS, DEVICES, REQUESTS, SPECULATION, OUTPUT)
def compare(
    models: Annotated[list[str], typer.Argument(help="two or more models; ratios are to the first")],
    **given: Any,
) -> None:
    """Models side by side, with ratios to the first and a conclusion in plain words."""
    from sparsecalc.decide.compare import compare as find

    emit_as_asked(given, lambda: find(models, question(given, takes_layouts=True)))
