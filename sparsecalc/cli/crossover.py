"""`crossover`: where one model stops being cheaper than another."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, REQUESTS, emit_as_asked, numbers, question, takes


@takes(LOAD, DEVICES, REQUESTS, OUTPUT)
def crossover(
    a: Annotated[str, typer.Argument(metavar="A", help="built-in id, config.json, folder, -, or org/name on the Hub")],
    b: Annotated[str, typer.Argument(metavar="B", help="the model that A is held against")],
    over: Annotated[
        str, typer.Option(help="batch, context, tokens (of one feed-forward layer), skew (zipf), sparsity (of A)")
    ] = "batch",
    of: Annotated[str | None, typer.Option("--of", help="time, memory or dollars (default: all)")] = None,
    between: Annotated[str | None, typer.Option("--between", help="ends of the axis: 1,4k")] = None,
    **given: Any,
) -> None:
    """Both models' curves over an axis, every point at which the cheaper one changes, and closed forms beside them."""
    from sparsecalc.decide.crossover import crossover as find

    ends = numbers(between, "--between") if between is not None else None
    axis, figure = over.strip().lower(), of.strip().lower() if of else None
    emit_as_asked(given, lambda: find(a, b, axis, figure, ends, question(given)))
