"""`bench`: a whole model generates tokens on this machine."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._measured_run import RUN, Model, measured_run
from sparsecalc.cli._options import OUTPUT, check_output, emit_as_asked, takes
from sparsecalc.core.number_lists import whole


@takes(RUN, OUTPUT)
def bench(
    model: Model,
    batch_size: Annotated[int, typer.Option("--batch-size", help="sequences that are generated at once")] = 1,
    prompt_len: Annotated[int, typer.Option("--prompt-len", parser=whole, help="tokens of each prompt")] = 128,
    output_len: Annotated[
        int, typer.Option("--output-len", parser=whole, help="tokens that each sequence generates")
    ] = 32,
    **given: Any,
) -> None:
    """Generate tokens with the whole model and random weights, through transformers, and vLLM if it is installed."""
    from sparsecalc.cli._measuring import measuring, progress
    from sparsecalc.decide.measured_run import ask_bench
    from sparsecalc.library.models import load_model

    run = measured_run(given)
    asked = ask_bench(batch_size=batch_size, prompt_len=prompt_len, output_len=output_len, run=run)
    check_output(given)
    loaded = load_model(model)
    generate = measuring("timing.generation", "bench").bench
    with progress(2) as step:
        report = generate(loaded, asked, step)
    emit_as_asked(given, lambda: report)
    if report.interrupted:
        raise typer.Exit(130)
