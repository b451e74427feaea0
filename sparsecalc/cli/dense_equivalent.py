"""`dense-equivalent`: the dense model that a sparse one stands for."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, REQUESTS, emit_as_asked, question, takes


@takes(LOAD, DEVICES, REQUESTS, OUTPUT)
def dense_equivalent(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    training_tokens: Annotated[
        float | None, typer.Option("--training-tokens", help="tokens that it was trained on, as 15e12 (default: known)")
    ] = None,
    **given: Any,
) -> None:
    """Dense sizes of the same memory, compute and (a band of published laws) quality; the nearest dense models."""
    from sparsecalc.decide.dense_equivalent import dense_equivalent as find

    emit_as_asked(given, lambda: find(model, question(given), training_tokens))
