"""`models` and `gpus`: what is built in."""

from typing import Annotated

import typer

from sparsecalc.cli.options import Format, Json, Output


def models(
    families: Annotated[bool, typer.Option("--families", help="the model_types that can be read instead")] = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """The built-in models, with their parameters; or the families (model_type) that can be read."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.listing import list_families, list_models

    name = "json" if json else format
    check_target(output, name)
    emit(list_families() if families else list_models(), name, output)


def gpus(
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """The accelerators: dense peaks, memory, bandwidth, price."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.listing import list_gpus

    name = "json" if json else format
    check_target(output, name)
    emit(list_gpus(), name, output)
