"""`dense-equivalent`: the dense model that a sparse one stands for."""

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
    question,
)


def dense_equivalent(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    training_tokens: Annotated[
        float | None, typer.Option("--training-tokens", help="tokens that it was trained on, as 15e12 (default: known)")
    ] = None,
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
    """Dense sizes of the same memory, compute and (a band of published laws) quality; the nearest dense models."""
    asked = question(locals())
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.equivalence import dense_equivalent as find

    name = "json" if json else format
    check_target(output, name)
    emit(find(model, asked, training_tokens), name, output)
