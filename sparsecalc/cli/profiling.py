"""`profile` and `bench`: the real architecture on this machine, beside the prediction."""

from typing import Annotated, Any

import typer

from sparsecalc.cli.options import OUTPUT, CalibrationFile, Options, check_output, emit_as_asked, takes, whole_numbers

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

RUN: Options = {
    "device": (Device, None),
    "layers": (Layers, "auto"),
    "dtype": (MeasuredDtype, "bf16"),
    "experts_implementation": (ExpertsImplementation, None),
    "routing": (RoutingOption, "uniform"),
    "time_budget": (Budget, 300.0),
    "memory_limit": (MemoryLimit, None),
    "calibration": (CalibrationFile, None),
}


@takes(RUN, OUTPUT)
def profile(
    model: Model,
    phase: Annotated[str, typer.Option(help="prefill, decode, or both")] = "prefill,decode",
    batch_size: Annotated[str, typer.Option("--batch-size", help="sequences, a list")] = "1,8",
    context: Annotated[str, typer.Option("--context", "--max-model-len", help="tokens per sequence, a list")] = "512",
    technique: Annotated[
        str | None,
        typer.Option(help="2:4, csr, bsr, block, heads or neurons: its kernel beside the dense one on a weight"),
    ] = None,
    **given: Any,
) -> None:
    """Run real layers with random weights on this machine: time per component, what kernels reach, memory."""
    from sparsecalc.cli.verifying import measuring, progress
    from sparsecalc.decide.profiling import ProfileQuestion
    from sparsecalc.library.models import load_model

    asked = ProfileQuestion(
        phases=_phases(phase),
        batch_sizes=whole_numbers(batch_size, "--batch-size"),
        context_lens=whole_numbers(context, "--context"),
        **_run(given),
    ).checked()
    check_output(given)
    loaded = load_model(model)
    if technique is not None:
        sparse = measuring("technique", "profile").profile_technique
        with progress(len(asked.batch_sizes)) as step:
            found = sparse(loaded, technique.strip().lower(), asked, step)
        emit_as_asked(given, lambda: found)
        return
    run = measuring("profile", "profile").profile
    with progress(len(asked.phases) * len(asked.batch_sizes) * len(asked.context_lens)) as step:
        report = run(loaded, asked, step)
    emit_as_asked(given, lambda: report)
    if report.interrupted:
        raise typer.Exit(130)


@takes(RUN, OUTPUT)
def bench(
    model: Model,
    batch_size: Annotated[int, typer.Option("--batch-size", help="sequences that are generated at once")] = 1,
    prompt_len: Annotated[int, typer.Option("--prompt-len", help="tokens of each prompt")] = 128,
    output_len: Annotated[int, typer.Option("--output-len", help="tokens that each sequence generates")] = 32,
    **given: Any,
) -> None:
    """Generate tokens with the whole model and random weights, through transformers, and vLLM if it is installed."""
    from sparsecalc.cli.verifying import measuring, progress
    from sparsecalc.decide.profiling import BenchQuestion
    from sparsecalc.library.models import load_model

    asked = BenchQuestion(batch_size=batch_size, prompt_len=prompt_len, output_len=output_len, **_run(given)).checked()
    check_output(given)
    loaded = load_model(model)
    run = measuring("generate", "bench").bench
    with progress(2) as step:
        report = run(loaded, asked, step)
    emit_as_asked(given, lambda: report)
    if report.interrupted:
        raise typer.Exit(130)


def _run(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `RUN` as fields of a question."""
    return {
        "device": given["device"],
        "layers": _layers(given["layers"]),
        "dtype": given["dtype"].lower(),
        "experts_implementation": given["experts_implementation"],
        "routing": given["routing"],
        "time_budget_seconds": given["time_budget"],
        "memory_limit_bytes": _gibibytes(given["memory_limit"]),
        "calibration": given["calibration"],
    }


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
