"""Run real layers of a model on this machine, and say what their kernels reach beside what was predicted."""

import time
from collections.abc import Callable

import transformers

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.workload import Workload
from sparsecalc.decide.measured_run import ProfileQuestion
from sparsecalc.documents.profile import Measurement, ProfileReport
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.timing.prepared_run import PreparedRun, prepare
from sparsecalc.measure.timing.sampled_steps import sample_with_less

LEAST_STEP_SECONDS = 1.0
"""The least time given to each step, whatever is left of the budget."""


def profile(
    loaded: LoadedModel, question: ProfileQuestion, progress: Callable[[str], None] = lambda name: None
) -> ProfileReport:
    """Measure every step that is asked for. Ctrl-C ends it with what was measured so far, `interrupted` set.

    Raises InputError for a model, device or routing that cannot be used, SparsecalcError where nothing could be run.
    """
    transformers.logging.set_verbosity_error()
    prepared = prepare(loaded, question.run, question.phases)
    rows: list[Measurement] = []
    formulas: list[str] = []
    interrupted = False
    try:
        _measure(prepared, question, rows, formulas, progress)
    except KeyboardInterrupt:
        interrupted = True
    if not rows and not interrupted:
        raise SparsecalcError(prepared.warnings[-1].text if prepared.warnings else "nothing was measured")
    kinds = prepared.model.slice.kinds
    return ProfileReport(
        command="profile",
        inputs={"model": loaded.spec.id, **question.inputs()},
        warnings=prepared.warnings,
        model=loaded.spec.id,
        environment=prepared.machine.conditions,
        layers_measured={kind.label: {"count": kind.count, "measured": len(kind.places)} for kind in kinds},
        measurements=rows,
        formulas=formulas,
        interrupted=interrupted,
    )


def _measure(
    prepared: PreparedRun,
    question: ProfileQuestion,
    rows: list[Measurement],
    formulas: list[str],
    progress: Callable[[str], None],
) -> None:
    """Add rows and a formula for each step, as far as the time budget allows."""
    works = _works(prepared, question)
    end = time.monotonic() + question.run.time_budget_seconds
    for index, work in enumerate(works):
        progress(f"{work.phase}, batch {work.batch_size}, context {work.context_len}")
        left = end - time.monotonic()
        if left <= 0:
            skipped = ", ".join(f"{each.phase} {each.batch_size} x {each.context_len}" for each in works[index:])
            prepared.warn("time-budget", f"the time budget was spent before: {skipped}")
            return
        samples = sample_with_less(prepared, work, max(LEAST_STEP_SECONDS, left / (len(works) - index)))
        if samples:
            rows += prepared.rows(samples).every_row()
            formulas.append(samples.formula())


def _works(prepared: PreparedRun, question: ProfileQuestion) -> list[Workload]:
    """Every step that was asked for, the cheapest first, so that the time budget covers them."""
    grid = question.grid
    works = [
        prepared.workload(phase, batch, context)
        for phase in question.phases
        for batch in grid.batch_sizes
        for context in grid.context_lens
    ]
    return sorted(works, key=lambda work: work.tokens)
