"""`show`: what a model costs, and how it runs on accelerators."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._bench_options import TESTS, with_tests
from sparsecalc.cli._options import DEVICES, LOAD, OUTPUT, PARTS, REQUESTS, SPECULATION, emit_as_asked, question, takes


@takes(LOAD, PARTS, DEVICES, REQUESTS, SPECULATION, TESTS, OUTPUT)
def show(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    commands: Annotated[
        bool, typer.Option("--commands", help="what to type: the server's command, its measuring line, a manifest")
    ] = False,
    **given: Any,
) -> None:
    """Everything about one model: parameters, FLOPs per token, memory; with --gpu whether it fits, and how fast."""
    from sparsecalc.decide.show import show as find

    emit_as_asked(given, lambda: find(model, question(with_tests(given), takes_layouts=True), commands=commands))
