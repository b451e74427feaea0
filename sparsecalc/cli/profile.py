"""`profile`: real layers on this machine, beside what was predicted."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._measured_run import RUN, Model, measured_run
from sparsecalc.cli._options import OUTPUT, check_output, emit_as_asked, takes, whole_numbers


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
    from sparsecalc.cli._measuring import measuring, progress
    from sparsecalc.decide.measured_run import ask_profile
    from sparsecalc.library.models import load_model

    asked = ask_profile(
        phases=_phases(phase),
        batch_sizes=whole_numbers(batch_size, "--batch-size"),
        context_lens=whole_numbers(context, "--context"),
        run=measured_run(given),
    )
    check_output(given)
    loaded = load_model(model)
    if technique is not None:
        sparse = measuring("timing.technique_profile", "profile").profile_technique
        with progress(len(asked.grid.batch_sizes)) as step:
            kernels = sparse(loaded, technique.strip().lower(), asked, step)
        emit_as_asked(given, lambda: kernels)
        return
    run = measuring("timing.profile", "profile").profile
    with progress(len(asked.phases) * len(asked.grid.batch_sizes) * len(asked.grid.context_lens)) as step:
        report = run(loaded, asked, step)
    emit_as_asked(given, lambda: report)
    if report.interrupted:
        raise typer.Exit(130)


def _phases(text: str) -> Any:
    return tuple(part.strip().lower() for part in text.split(","))
