"""`simulate`: a server under load, by a replay of its engine's scheduler."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import (
    DEVICES,
    FORMATS_ASKED,
    OUTPUT,
    PARTS,
    SPECULATION,
    Batched,
    default_of,
    emit_as_asked,
    question,
    takes,
)


@takes(FORMATS_ASKED, PARTS, DEVICES, SPECULATION, OUTPUT)
def simulate(
    models: Annotated[list[str], typer.Argument(help="one model or several; ratios are to the first")],
    *,
    rate: Annotated[float | None, typer.Option(help="requests per second, as a Poisson process")] = None,
    concurrency: Annotated[int | None, typer.Option(help="requests always in flight, all at once at first")] = None,
    trace: Annotated[
        str | None,
        typer.Option(help="CSV or JSON lines of arrival_s, prompt_tokens, output_tokens; Azure's, BurstGPT's"),
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="the highest rate that keeps the targets of --slo")
    ] = False,
    prompt_len: Annotated[
        str | None,
        typer.Option("--prompt-len", help="tokens of a prompt: 1024, 1024~0.2, lognormal:1024:0.8, or a file"),
    ] = None,
    output_len: Annotated[str | None, typer.Option("--output-len", help="tokens of an answer, likewise")] = None,
    requests: Annotated[
        int | None,
        typer.Option(help=f"how many {default_of('simulated_requests')}; ten for each in flight; all of a trace"),
    ] = None,
    seed: Annotated[int, typer.Option(help="of arrivals and lengths")] = 0,
    slo: Annotated[str | None, typer.Option(help="targets of each request: ttft=1s,tpot=50ms,e2e=30s")] = None,
    attained: Annotated[
        float | None,
        typer.Option("--attained", help=f"share of requests that must keep them {default_of('attained_share')}"),
    ] = None,
    replicas: Annotated[int, typer.Option(help="servers beside each other, each with --num-gpus devices")] = 1,
    router: Annotated[str, typer.Option(help="least-loaded or round-robin")] = "least-loaded",
    disaggregate: Annotated[
        str | None, typer.Option("--disaggregate", help="servers for prompts and for decoding: 2:4")
    ] = None,
    prefix_hit_share: Annotated[
        float, typer.Option("--prefix-hit-share", help="share of each prompt that the prefix cache holds")
    ] = 0.0,
    max_num_batched_tokens: Batched = None,
    per_request: Annotated[
        str | None, typer.Option("--per-request", help="write each request's times to this file, CSV or .jsonl")
    ] = None,
    **given: Any,
) -> None:
    """A server under load: time to first token, time per token, throughput, queue and cache, request by request."""
    from sparsecalc.cli._per_request import PerRequest
    from sparsecalc.decide.simulate import simulate as find
    from sparsecalc.decide.simulation_question import asked_of

    traffic = {"rate": rate, "concurrency": concurrency, "trace": trace, "requests": requests, "seed": seed}
    lengths = {"prompt_len": prompt_len, "output_len": output_len}
    servers = {"replicas": replicas, "router": router, "disaggregate": disaggregate}
    targets = {"slo": slo, "attained": attained, "find_rate": find_rate, "prefix_hit_share": prefix_hit_share}

    def run() -> Any:
        asked = asked_of(**traffic, **lengths, **servers, **targets)  # type: ignore[arg-type]
        told = given | {"batch_size": "1", "context": None, "max_num_batched_tokens": max_num_batched_tokens}
        told |= asked.traffic.question_options
        keep = PerRequest(per_request, len(models)) if per_request else None
        return find(models, question(told), asked, keep)

    emit_as_asked(given, run)
