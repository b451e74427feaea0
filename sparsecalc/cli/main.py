"""The `sparsecalc` command. Imports what a command needs inside the command, so that start-up stays short."""

import os
import sys
from typing import Annotated, Any

import typer

from sparsecalc.cli.calibrate import calibrate
from sparsecalc.cli.finetune import finetune
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
    FromArchitecture,
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
from sparsecalc.cli.profiling import bench, profile
from sparsecalc.cli.routing import routing
from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.text import printable

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What a language model really costs, sparse or dense.",
    epilog="Example: sparsecalc compare mixtral-8x7b llama-70b --gpu h100-sxm --num-gpus 2",
)


@app.command(epilog="Example: sparsecalc show qwen3-30b-a3b --gpu h100-sxm --context 32768")
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


@app.command(epilog="Example: sparsecalc compare mixtral-8x7b llama-70b --json")
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


@app.command(epilog="Example: sparsecalc explain mixtral-8x7b decode --gpu h100-sxm --num-gpus 2 --batch-size 16")
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


@app.command(epilog="Example: sparsecalc models --format csv")
def models(
    families: Annotated[bool, typer.Option("--families", help="the model_types that can be read instead")] = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """The built-in models, with their parameters; or the families (model_type) that can be read."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.listing import list_families, list_models

    name = "json" if json else format
    check_target(output, name)
    emit(list_families() if families else list_models(), name, output)


@app.command(epilog="Example: sparsecalc gpus --json")
def gpus(
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """The accelerators: dense peaks, memory, bandwidth, price."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.listing import list_gpus

    name = "json" if json else format
    check_target(output, name)
    emit(list_gpus(), name, output)


@app.command(epilog="Example: sparsecalc verify mixtral-8x7b deepseek-v3")
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="models to hold against transformers")] = None,
    all: Annotated[bool, typer.Option("--all", help="every built-in spec")] = False,  # noqa: A002
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="also against the checkpoint's headers (asks the Hub)")
    ] = False,
    from_architecture: FromArchitecture = False,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Build the real architecture without weights, and hold every count against it; exit 1 if anything differs."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.cli.verifying import verify_models

    name = "json" if json else format
    check_target(output, name)
    report = verify_models(models or [], all, checkpoint, from_architecture)
    emit(report, name, output)
    if any(result.status == "differs" for result in report.results):
        raise typer.Exit(1)


@app.command("import", epilog="Example: sparsecalc import ./my-model/config.json -o my-model.json")
def import_(
    source: Annotated[str, typer.Argument(help="config.json, folder, .gguf, -, or org/name on the Hub")],
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="the spec file to write (default: <id>.json here)")
    ] = None,
    from_architecture: FromArchitecture = False,
) -> None:
    """Write a spec file; for a Hub id, check the count against the checkpoint's headers and explain the difference."""
    from sparsecalc.cli.importing import import_model

    import_model(source, "json" if json else format, output, from_architecture)


app.command(epilog="Example: sparsecalc finetune mixtral-8x7b --method qlora --gpu h100-sxm")(finetune)
app.command(epilog="Example: sparsecalc calibrate --quick -o my-device.json")(calibrate)


app.command(epilog="Example: sparsecalc routing qwen3-30b-a3b --routing zipf:0.7 --ep 8")(routing)


app.command(epilog="Example: sparsecalc profile qwen3-30b-a3b --batch-size 1,8,32 --layers 1")(profile)
app.command(epilog="Example: sparsecalc bench smollm2-360m --output-len 64")(bench)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from importlib.metadata import version as find

        print(f"sparsecalc {find('sparsecalc')}")
        raise typer.Exit


def main() -> None:
    """Run, and turn every failure into one line and an exit code: 1 known failure, 2 bad input, 130 interrupted."""
    debug = os.environ.get("SPARSECALC_DEBUG") == "1"
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins is a tenth of the start-up
    try:
        code = app(standalone_mode=False) or 0
    except SparsecalcError as error:
        if debug:
            raise
        _fail(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted")
        code = 130
    except Exception as error:
        if debug:
            raise
        code = _fail_usage(error) if hasattr(error, "format_message") else _fail_unexpectedly(error)
    sys.exit(code)


def _fail_usage(error: Any) -> int:
    """A wrong option or argument; its text is empty where help was printed instead."""
    if text := error.format_message().strip():
        command = error.ctx.command_path if getattr(error, "ctx", None) else "sparsecalc"
        _fail(f"{text}{'' if text[-1] in '.?!' else '.'} Help: {command} --help")
    return 2


def _fail_unexpectedly(error: Exception) -> int:
    _fail(f"unexpected {type(error).__name__}: {error}. The traceback: set SPARSECALC_DEBUG=1; please report it")
    return 1


def _fail(text: str) -> None:
    print(f"error: {printable(text.replace(chr(10), ' '), 2000)}", file=sys.stderr)


if __name__ == "__main__":
    main()
