"""`plan`: which accelerators, how many, in which layout and precision, for a load and its targets."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import (
    FORMATS_ASKED,
    OUTPUT,
    Batched,
    OutputLen,
    PromptLen,
    Share,
    emit_as_asked,
    takes,
    whole_numbers,
)


@takes(FORMATS_ASKED, OUTPUT)
def plan(
    models: Annotated[list[str], typer.Argument(help="one model or several, of which the best is chosen")],
    gpu: Annotated[
        str, typer.Option(help="all (that the engine serves on and that have a price), or a list: h100-sxm,mi300x")
    ] = "all",
    max_gpus: Annotated[int, typer.Option("--max-gpus", help="devices in all, at most")] = 8,
    users: Annotated[int | None, typer.Option(help="people who each have a request in flight")] = None,
    concurrency: Annotated[int | None, typer.Option(help="requests in flight on all servers together")] = None,
    rate: Annotated[float | None, typer.Option(help="requests per second that arrive, in place of these")] = None,
    prompt_len: PromptLen = None,
    output_len: OutputLen = None,
    context: Annotated[str | None, typer.Option("--context", help="prompt and answer together: 8k")] = None,
    tpot: Annotated[str | None, typer.Option(help="time per output token, at most: 30ms")] = None,
    ttft: Annotated[str | None, typer.Option(help="time to first token, at most: 1s")] = None,
    budget: Annotated[float | None, typer.Option(help="US dollars per hour, at most")] = None,
    sort: Annotated[str, typer.Option(help="usd (per output token; of a rate, per hour), speed or gpus")] = "usd",
    engine: Annotated[str, typer.Option(help="vllm, sglang or trtllm")] = "vllm",
    gpu_memory_utilization: Share = None,
    max_num_batched_tokens: Batched = None,
    **given: Any,
) -> None:
    """The cheapest way to serve a load within its targets, what else is worth a look, and why the rest is not."""
    own = {
        "gpu": gpu,
        "max_gpus": max_gpus,
        "users": users,
        "concurrency": concurrency,
        "rate": rate,
        "prompt_len": prompt_len,
        "output_len": output_len,
        "context_len": whole_numbers(context, "--context")[0] if context else None,
        "tpot": tpot,
        "ttft": ttft,
        "budget": budget,
        "sort": sort,
        "engine": engine,
        "device_memory_share": gpu_memory_utilization,
        "max_num_batched_tokens": max_num_batched_tokens,
    }

    def run() -> Any:
        from sparsecalc.decide.engine_words import plain
        from sparsecalc.decide.plan import plan as find
        from sparsecalc.decide.plan_question import plan_asked

        asked = {**own, **{name: value for name, value in given.items() if name not in OUTPUT}}
        return find(models, plan_asked(**plain({name: value for name, value in asked.items() if value is not None})))

    emit_as_asked(given, run)
