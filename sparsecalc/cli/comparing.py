"""`show` and `compare`: what models cost, and what they take on accelerators."""

from typing import Annotated

import typer

from sparsecalc.cli.options import (
    Acceptance,
    Batch,
    Batched,
    CalibrationFile,
    Concurrency,
    Context,
    Dp,
    DraftModel,
    DraftTokens,
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


def show(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
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
    draft_tokens: DraftTokens = 0,
    acceptance: Acceptance = None,
    draft_model: DraftModel = None,
    calibration: CalibrationFile = None,
    gpu_memory_utilization: Share = None,
    max_num_batched_tokens: Batched = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Everything about one model: parameters, FLOPs per token, memory, and whether it fits."""
    asked = question(locals())
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.compare import show as find

    name = "json" if json else format
    check_target(output, name)
    emit(find(model, asked), name, output)


def compare(
    models: Annotated[list[str], typer.Argument(help="two or more models; ratios are to the first")],
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
    draft_tokens: DraftTokens = 0,
    acceptance: Acceptance = None,
    draft_model: DraftModel = None,
    calibration: CalibrationFile = None,
    gpu_memory_utilization: Share = None,
    max_num_batched_tokens: Batched = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Models side by side, with ratios to the first and a conclusion in plain words."""
    asked = question(locals())
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.compare import compare as find

    name = "json" if json else format
    check_target(output, name)
    emit(find(models, asked), name, output)
