"""`gpus`: the accelerators that are built in."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, emit_as_asked, takes


class Kind(StrEnum):
    """The kinds of accelerators."""

    gpu = "gpu"
    soc = "soc"
    asic = "asic"
    cpu = "cpu"


@takes(OUTPUT)
def gpus(
    kind: Annotated[Kind | None, typer.Option("--kind", help="cards, systems on a chip, processors")] = None,
    **given: Any,
) -> None:
    """The accelerators, and processors after them: dense peaks, memory, bandwidth, price."""
    from sparsecalc.decide.lists import list_gpus

    emit_as_asked(given, lambda: list_gpus(kind.value if kind else None))
