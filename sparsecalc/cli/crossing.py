"""`crossover`: where one model stops being cheaper than another."""

from typing import Annotated

import typer

from sparsecalc.cli.options import (
    Batch,
    Batched,
    CalibrationFile,
    Concurrency,
    Context,
    Dp,
    Dtype,
    EngineName,
    Ep,
    Format,
    Gpu,
    Json,
    KvDtype,
    NumGpus,
    Offload,
    Output,
    OutputLen,
    Pp,
    PromptLen,
    Replicas,
    RoutingOf,
    Share,
    Tp,
    numbers,
    question,
)


def crossover(
    a: Annotated[str, typer.Argument(metavar="A", help="built-in id, config.json, folder, -, or org/name on the Hub")],
    b: Annotated[str, typer.Argument(metavar="B", help="the model that A is held against")],
    over: Annotated[
        str, typer.Option(help="batch, context, tokens (of one feed-forward layer), skew (zipf), sparsity (of A)")
    ] = "batch",
    of: Annotated[str | None, typer.Option("--of", help="time, memory or dollars (default: all)")] = None,
    between: Annotated[str | None, typer.Option("--between", help="ends of the axis: 1,4k")] = None,
    batch_size: Batch = "1",
    context: Context = None,
    dtype: Dtype = None,
    kv_cache_dtype: KvDtype = None,
    gpu: Gpu = None,
    num_gpus: NumGpus = None,
    tp: Tp = None,
    pp: Pp = None,
    ep: Ep = None,
    dp: Dp = None,
    engine: EngineName = None,
    routing: RoutingOf = "uniform",
    eplb_replicas: Replicas = None,
    offload: Offload = None,
    prompt_len: PromptLen = None,
    output_len: OutputLen = None,
    concurrency: Concurrency = None,
    calibration: CalibrationFile = None,
    gpu_memory_utilization: Share = None,
    max_num_batched_tokens: Batched = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Both models' curves over an axis, every point at which the cheaper one changes, and closed forms beside them."""
    asked = question(locals())
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.crossover import crossover as find

    name = "json" if json else format
    check_target(output, name)
    ends = numbers(between, "--between") if between is not None else None
    emit(find(a, b, over.strip().lower(), of.strip().lower() if of else None, ends, asked), name, output)
