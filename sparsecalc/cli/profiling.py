"""`profile` and `bench`: the real architecture on this machine, beside the prediction."""

from typing import Annotated, Any

import typer

from sparsecalc.cli.options import CalibrationFile, Format, Json, Output, whole_numbers

Model = Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps (default: cuda if there is one)")]
Layers = Annotated[str, typer.Option(help="layers of each kind that are run: a number, or auto")]
MeasuredDtype = Annotated[str, typer.Option(help="bf16, fp16 or fp32")]
ExpertsImplementation = Annotated[
    str | None, typer.Option("--experts-implementation", help="eager, batched_mm or grouped_mm (default: as it comes)")
]
RoutingOption = Annotated[str, typer.Option(help="uniform, zipf:1.0, dirichlet:0.5, or a file of counts per expert")]
Budget = Annotated[float, typer.Option("--time-budget", help="seconds for all measurements")]
MemoryLimit = Annotated[
    float | None, typer.Option("--memory-limit", help="GiB that may be used (default: 60 % of what is free)")
]


def profile(
    model: Model,
    device: Device = None,
    phase: Annotated[str, typer.Option(help="prefill, decode, or both")] = "prefill,decode",
    batch_size: Annotated[str, typer.Option("--batch-size", help="sequences, a list")] = "1,8",
    context: Annotated[str, typer.Option("--context", "--max-model-len", help="tokens per sequence, a list")] = "512",
    layers: Layers = "auto",
    dtype: MeasuredDtype = "bf16",
    experts_implementation: ExpertsImplementation = None,
    routing: RoutingOption = "uniform",
    time_budget: Budget = 300.0,
    memory_limit: MemoryLimit = None,
    calibration: CalibrationFile = None,
    technique: Annotated[
        str | None,
        typer.Option(help="2:4, csr, bsr, block, heads or neurons: its kernel beside the dense one on a weight"),
    ] = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Run real layers with random weights on this machine: time per component, what kernels reach, memory."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.cli.verifying import measuring, progress
    from sparsecalc.decide.profiling import ProfileQuestion
    from sparsecalc.library.models import load_model

    name = "json" if json else format
    check_target(output, name)
    question = ProfileQuestion(
        device=device,
        phases=_phases(phase),
        batch_sizes=whole_numbers(batch_size, "--batch-size"),
        context_lens=whole_numbers(context, "--context"),
        layers=_layers(layers),
        dtype=dtype.lower(),
        experts_implementation=experts_implementation,
        routing=routing,
        time_budget_seconds=time_budget,
        memory_limit_bytes=_gibibytes(memory_limit),
        calibration=calibration,
    ).checked()
    loaded = load_model(model)
    if technique is not None:
        sparse = measuring("technique", "profile").profile_technique
        with progress(len(question.batch_sizes)) as step:
            emit(sparse(loaded, technique.strip().lower(), question, step), name, output)
        return
    run = measuring("profile", "profile").profile
    points = len(question.phases) * len(question.batch_sizes) * len(question.context_lens)
    with progress(points) as step:
        report = run(loaded, question, step)
    emit(report, name, output)
    if report.interrupted:
        raise typer.Exit(130)


def bench(
    model: Model,
    device: Device = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="sequences that are generated at once")] = 1,
    prompt_len: Annotated[int, typer.Option("--prompt-len", help="tokens of each prompt")] = 128,
    output_len: Annotated[int, typer.Option("--output-len", help="tokens that each sequence generates")] = 32,
    layers: Annotated[str, typer.Option(help="layers of each kind that generate: a number, or auto (all that fit)")] = (
        "auto"
    ),
    dtype: MeasuredDtype = "bf16",
    experts_implementation: ExpertsImplementation = None,
    routing: RoutingOption = "uniform",
    time_budget: Budget = 300.0,
    memory_limit: MemoryLimit = None,
    calibration: CalibrationFile = None,
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Generate tokens with the whole model and random weights, through transformers, and vLLM if it is installed."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.cli.verifying import measuring, progress
    from sparsecalc.decide.profiling import BenchQuestion
    from sparsecalc.library.models import load_model

    name = "json" if json else format
    check_target(output, name)
    question = BenchQuestion(
        device=device,
        batch_size=batch_size,
        prompt_len=prompt_len,
        output_len=output_len,
        layers=_layers(layers),
        dtype=dtype.lower(),
        experts_implementation=experts_implementation,
        routing=routing,
        time_budget_seconds=time_budget,
        memory_limit_bytes=_gibibytes(memory_limit),
        calibration=calibration,
    ).checked()
    loaded = load_model(model)
    run = measuring("generate", "bench").bench
    with progress(2) as step:
        report = run(loaded, question, step)
    emit(report, name, output)
    if report.interrupted:
        raise typer.Exit(130)


def _phases(text: str) -> Any:
    return tuple(part.strip().lower() for part in text.split(","))


def _layers(text: str) -> int | None:
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    if text.strip().lower() == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--layers is {brief(text)}", hint="It is a whole number, or auto") from error


def _gibibytes(value: float | None) -> int | None:
    from sparsecalc.core.errors import InputError

    if value is None:
        return None
    if not 0 < value < 2**20:
        raise InputError(f"--memory-limit is {value}", hint="It is in GiB, for example 8")
    return int(value * 2**30)
