"""`show` and `compare`: what models cost, and what they take on accelerators."""

from typing import Annotated, Any

import typer

from sparsecalc.cli.options import DEVICES, LOAD, OUTPUT, REQUESTS, SPECULATION, emit_as_asked, question, takes


@takes(LOAD, DEVICES, REQUESTS, SPECULATION, OUTPUT)
def show(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    **given: Any,
) -> None:
    """Everything about one model: parameters, FLOPs per token, memory; with --gpu whether it fits, and how fast."""
    from sparsecalc.decide.compare import show as find

    emit_as_asked(given, lambda: find(model, question(given)))


@takes(LOAD, DEVICES, REQUESTS, SPECULATION, OUTPUT)
def compare(
    models: Annotated[list[str], typer.Argument(help="two or more models; ratios are to the first")],
    **given: Any,
) -> None:
    """Models side by side, with ratios to the first and a conclusion in plain words."""
    from sparsecalc.decide.compare import compare as find

    emit_as_asked(given, lambda: find(models, question(given)))
