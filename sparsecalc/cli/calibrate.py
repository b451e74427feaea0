"""`sparsecalc calibrate`: make predictions this device's own, or those of a server that was measured."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import (
    Concurrency,
    Dtype,
    EngineName,
    Format,
    Json,
    KvDtype,
    NumGpus,
    Options,
    OutputLen,
    PromptLen,
    takes,
)
from sparsecalc.core.number_lists import whole


def _degree(name: str, of: str) -> Any:
    """A degree of parallelism of the one stack that was measured."""
    return Annotated[int | None, typer.Option(f"--{name}", parser=whole, help=of)]


STACK: Options = {
    "model": (
        Annotated[str | None, typer.Option(help="--from-...: the model, or NAME=MODEL for a name in the files")],
        None,
    ),
    "gpu": (Annotated[str | None, typer.Option(help="--from-...: the accelerator")], None),
    "num_gpus": (NumGpus, None),
    "tp": (_degree("tp", "tensor-parallel devices"), None),
    "pp": (_degree("pp", "pipeline stages"), None),
    "ep": (_degree("ep", "ranks of expert parallelism, a divisor of tp x dp"), None),
    "dp": (_degree("dp", "copies of the attention, each with its own sequences"), None),
    "engine": (EngineName, None),
    "dtype": (Dtype, None),
    "kv_cache_dtype": (KvDtype, None),
    "concurrency": (Concurrency, None),
    "prompt_len": (PromptLen, None),
    "output_len": (OutputLen, None),
}
"""What --from-serving and --from-llama-bench take where the files say nothing."""


@takes(STACK)
def calibrate(
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps (default: cuda where there is one)")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer shapes, fewer samples")] = False,
    time_budget: Annotated[
        float | None,
        typer.Option("--time-budget", min=0, help="seconds after which no benchmark is begun (default: 90)"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted run stopped")] = False,
    from_serving: Annotated[
        list[str] | None,
        typer.Option(
            "--from-serving",
            help="a file or folder of measured loads of your server instead (repeat it for more): csv, vllm bench, "
            "SGLang's bench_serving, GuideLLM, AIPerf, InferenceX",
        ),
    ] = None,
    from_llama_bench: Annotated[
        list[str] | None,
        typer.Option(
            "--from-llama-bench",
            "--from-ollama",
            "--from-mlx-lm",
            help="a file of tests of your machine instead: llama-bench's json, csv or table, Ollama's /api/generate or"
            " run --verbose, mlx-lm's lines",
        ),
    ] = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="calibration file to write (default: this user's own, of a server none)"),
    ] = None,
    **stack: Any,
) -> None:
    """Fit predictions to this device's kernels, to your server or tests of your machine: --calibration FILE."""
    from sparsecalc.cli._calibration_files import anchor_machine, anchor_stack, calibrate_device, check_options
    from sparsecalc.cli._output import check_target, emit

    name = "json" if json else format
    check_target(output, name)
    own = {"device": device, "quick": quick, "time_budget": time_budget, "resume": resume}
    check_options(from_serving, from_llama_bench, own, stack)
    if from_llama_bench:
        emit(anchor_machine(from_llama_bench, stack, output), name, None)
    elif from_serving:
        emit(anchor_stack(from_serving, stack, output), name, None)
    else:
        emit(calibrate_device(device, quick, time_budget, resume, output), name, None)
