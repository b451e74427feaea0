"""`gpus`: the accelerators that are built in."""

from typing import Any

from sparsecalc.cli._options import OUTPUT, emit_as_asked, takes


@takes(OUTPUT)
def gpus(**given: Any) -> None:
    """The accelerators: dense peaks, memory, bandwidth, price."""
    from sparsecalc.decide.lists import list_gpus

    emit_as_asked(given, list_gpus)
