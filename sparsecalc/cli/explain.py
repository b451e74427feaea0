"""`explain`: how a figure comes about."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, REQUESTS, emit_as_asked, question, takes


@takes(LOAD, DEVICES, REQUESTS, OUTPUT)
def explain(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    topic: Annotated[
        str, typer.Argument(help="total, active, flops, kv_cache, weights; with --gpu: decode, prefill")
    ] = "active",
    **given: Any,
) -> None:
    """How a figure comes about: every term with the model's numbers; of a step's time, every kernel."""
    from sparsecalc.decide.explain import explain as find

    emit_as_asked(given, lambda: find(model, topic, question(given)))
