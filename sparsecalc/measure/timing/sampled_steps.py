"""One step of a prepared model, sampled: with less if memory is short, with marks around its parts."""

import time
from collections.abc import Callable, Iterator
from statistics import fmean

import torch

from sparsecalc.core.errors import named_reason_of, reason_of
from sparsecalc.core.workload import Workload
from sparsecalc.measure.architecture.filled_cache import empty_cache, filled_cache
from sparsecalc.measure.architecture.model_inputs import cache_argument, model_inputs
from sparsecalc.measure.architecture.module_marks import MarkedModule, ModuleMarks
from sparsecalc.measure.machine.device import is_out_of_memory, synchronize
from sparsecalc.measure.machine.stopwatch import FEWEST, take_samples
from sparsecalc.measure.timing.layer_kinds import StepPart
from sparsecalc.measure.timing.layer_slice import marked_modules
from sparsecalc.measure.timing.ledger_figures import step_ops, working_bytes
from sparsecalc.measure.timing.prepared_run import PreparedRun
from sparsecalc.measure.timing.step_samples import DistinctExperts, StepSamples

WORKING_SLACK = 3
"""transformers' forward pass holds more results at once than a fused one; assumed before anything is run."""


def sample_with_less(prepared: PreparedRun, work: Workload, budget_seconds: float) -> StepSamples | None:
    """Samples of the step, its batch halved until it fits; None, with a warning, where it does not run."""
    asked, device = work.batch_size, prepared.machine.device
    while True:
        try:
            samples = _sample_if_it_fits(prepared, work, budget_seconds)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                prepared.warn("not-run", f"{_named(work)} does not run: {reason_of(error)}")
                return None
        except (TypeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError) as error:
            prepared.warn("not-run", f"{work.phase} does not run in transformers: {named_reason_of(error, 120)}")
            return None
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if work.batch_size == 1:
            prepared.warn("memory", f"{work.phase} of 1 x {work.context_len} tokens does not fit into the memory")
            return None
        work = work.but(batch_size=work.batch_size // 2)
    if work.batch_size < asked:
        text = f"{work.phase} of {asked} x {work.context_len} tokens does not fit: batch {work.batch_size} was measured"
        prepared.warn("smaller-batch", text)
    return samples


def _named(work: Workload) -> str:
    return f"{work.phase}, batch {work.batch_size}, context {work.context_len}"


def _sample_if_it_fits(prepared: PreparedRun, work: Workload, budget_seconds: float) -> StepSamples | None:
    """Samples of the step. Raises MemoryError where it needs more than is allowed; one sequence is always tried."""
    needed = prepared.model.slice.weight_bytes + bytes_beside_weights(prepared, work)
    if needed > prepared.machine.memory_limit_bytes and work.batch_size > 1:
        raise MemoryError
    return sample_step(prepared, work, budget_seconds)


def bytes_beside_weights(prepared: PreparedRun, work: Workload) -> float:
    """What a step needs beside the weights, on the safe side."""
    model = prepared.model
    kinds = model.slice.kinds
    ops = step_ops(model.spec, kinds, work)
    repeated = ops.repeated({kind: len(kind.places) for kind in kinds})
    cache = sum(times * model.precision.kv_cache_bytes(op.kv_elements) for op, times in repeated)
    scores = 0.0
    if prepared.machine.conditions["attention_implementation"] == "eager":
        heads = getattr(model.slice.model.config, "num_attention_heads", 1)
        pairs = work.batch_size * work.new_tokens * work.context_len
        scores = 8.0 * heads * pairs  # as 16 and 32 bit, before and after the softmax
    return cache + scores + WORKING_SLACK * working_bytes(ops, model.precision, work, model.spec.hidden_size)


def sample_step(prepared: PreparedRun, work: Workload, budget_seconds: float) -> StepSamples | None:
    """All samples of one step; None, with a warning, where it cannot be run or would take too long."""
    model, machine = prepared.model, prepared.machine
    with torch.inference_mode():
        model.routing.prepare(work.tokens)
        run = _step(prepared, work)
        if run is None:
            prepared.warn("no-cache", "this architecture keeps no cache that a decode step could start from")
            return None
        seconds, peak = _first_run(prepared, run)
        if seconds * FEWEST > 4 * budget_seconds:
            text = (
                f"{work.phase} of {work.batch_size} x {work.context_len} tokens takes {seconds:.0f} s a run: left out"
            )
            prepared.warn("time-budget", text)
            return None
        if model.routing.experts and not model.routing.forced:
            text = "this architecture's choice of experts cannot be replaced: its own was measured"
            prepared.warn("own-routing", text)
        samples = StepSamples(work, model.slice.kinds, peak_memory_bytes=peak)
        for marked in _passes(marked_modules(model.slice), machine.device):
            _add_samples(samples, prepared, run, marked, budget_seconds)
        if machine.device.type == "cuda":
            share = budget_seconds / 4
            samples.eager = take_samples(run, machine.device, min_samples=FEWEST, budget_seconds=share, graph=False)
    return samples


def _first_run(prepared: PreparedRun, run: Callable[[], None]) -> tuple[float, int | None]:
    """Seconds of the first run, and the peak of its memory."""
    prepared.machine.memory.reset()
    start = time.perf_counter()
    run()
    synchronize(prepared.machine.device)
    return time.perf_counter() - start, prepared.machine.memory.peak_bytes()


def _step(prepared: PreparedRun, work: Workload) -> Callable[[], None] | None:
    """A function that runs the step; None where there is no cache to decode from."""
    model, device = prepared.model.slice.model, prepared.machine.device
    if work.past:
        cache, reset = filled_cache(model, work.batch_size, work.past, device)
        if cache is None:
            return None
    else:
        cache, reset = empty_cache(model, work.batch_size, device)
    arguments = model_inputs(model, work.batch_size, work.new_tokens, device, cache)

    def run() -> None:
        reset()
        model(**arguments if cache is not None else arguments | cache_argument(model))

    return run


def _passes(marked: list[MarkedModule[StepPart]], device: torch.device) -> Iterator[list[MarkedModule[StepPart]]]:
    """What is marked together: everything on a CPU; on a GPU marks take time, so the step, layers and parts apart."""
    if device.type == "cpu":
        yield marked
        return
    yield []
    yield [each for each in marked if each.key.component is None]
    yield [each for each in marked if each.key.component is not None]


def _add_samples(
    samples: StepSamples,
    prepared: PreparedRun,
    run: Callable[[], None],
    marked: list[MarkedModule[StepPart]],
    budget_seconds: float,
) -> None:
    """Sample the step with marks around some of its modules."""
    routing, device, tokens = prepared.model.routing, prepared.machine.device, samples.work.tokens
    marks = ModuleMarks(marked, device)
    shown: list[dict[StepPart, float]] = []
    distinct: list[float | None] = []

    def marked_run() -> None:
        marks.clear()
        run()

    def after() -> None:
        shown.append(marks.seconds())
        distinct.append(routing.distinct(tokens) if routing.forced else None)

    try:
        taken = take_samples(
            marked_run,
            device,
            before=routing.advance,
            after=after,
            budget_seconds=budget_seconds if device.type == "cpu" else budget_seconds / 4,
            warm_up=1,
            cold=prepared.model.cold,
        )
    finally:
        marks.remove()
    samples.add(taken, [shown[index] for index in taken.kept])
    known = [count for index in taken.kept if (count := distinct[index]) is not None]
    samples.experts = DistinctExperts(fmean(known) if known else None, routing.expected_distinct(tokens))
