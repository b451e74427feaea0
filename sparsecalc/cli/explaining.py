"""`explain`: how a figure comes about."""

from typing import Annotated

import typer

from sparsecalc.cli.options import (
    Batch,
    CalibrationFile,
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
    Pp,
    PromptLen,
    Replicas,
    RoutingOf,
    Tp,
    question,
)


def explain(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    topic: Annotated[
        str, typer.Argument(help="total, active, flops, kv_cache, weights; with --gpu: decode, prefill")
    ] = "active",
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
    calibration: CalibrationFile = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """How a figure comes about: every term with the model's numbers; of a step's time, every kernel."""
    asked = question(locals())
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.explain import explain as find

    name = "json" if json else format
    check_target(output, name)
    emit(find(model, topic, asked), name, output)
