"""`models`: the models that are built in, and the families that can be read."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, emit_as_asked, takes


@takes(OUTPUT)
def models(
    families: Annotated[bool, typer.Option("--families", help="the model_types that can be read instead")] = False,
    **given: Any,
) -> None:
    """The built-in models, with their parameters; or the families (model_type) that can be read."""
    from sparsecalc.decide.lists import list_families, list_models

    emit_as_asked(given, list_families if families else list_models)
