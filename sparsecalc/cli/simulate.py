"""`simulate`: a server under load, by a replay of its engine's scheduler."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._load_options import SERVERS, TARGETS, TRAFFIC
from sparsecalc.cli._options import (
    DEVICES,
    FORMATS_ASKED,
    OUTPUT,
    PARTS,
    SPECULATION,
    emit_as_asked,
    question,
    takes,
)


@takes(TRAFFIC, TARGETS, SERVERS, FORMATS_ASKED, PARTS, DEVICES, SPECULATION, OUTPUT)
def simulate(
    models: Annotated[list[str], typer.Argument(help="one model or several; ratios are to the first")],
    per_request: Annotated[
        str | None, typer.Option("--per-request", help="write each request's times to this file, CSV or .jsonl")
    ] = None,
    **given: Any,
) -> None:
    """A server under load: time to first token, time per token, throughput, queue and cache, request by request."""
    from sparsecalc.cli._per_request import PerRequest
    from sparsecalc.decide.simulate import simulate as find
    from sparsecalc.decide.simulation_question import asked_of

    own = {name: given.pop(name) for name in (*TRAFFIC, *TARGETS, *SERVERS) if name != "max_num_batched_tokens"}

    def run() -> Any:
        asked = asked_of(own)
        asks = question({**given, "batch_size": "1", "context": None, **asked.traffic.question_options})
        replays = len(models) * len(asks.devices.accelerators) * max(1, len(asked.traffic.rates))
        keep = PerRequest(per_request, replays) if per_request else None
        return find(models, asks, asked, keep)

    emit_as_asked(given, run)
