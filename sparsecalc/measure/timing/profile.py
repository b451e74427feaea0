"""Run real layers of a model on this machine, and say what their kernels reach beside what was predicted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.notes import Note
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Phase, Workload
from sparsecalc.decide.profile_question import ProfileQuestion
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.profile import Measurement, ProfileReport
from sparsecalc.library.formats import number_format, precision_for
from sparsecalc.library.models import LoadedModel
from sparsecalc.library.routing_files import load_routing
from sparsecalc.measure.architecture.component_marks import Key, Marks, Unit, units
from sparsecalc.measure.architecture.filled_cache import cache_argument, empty_cache, filled_cache, inputs
from sparsecalc.measure.architecture.layer_slice import Slice, build_slice
from sparsecalc.measure.architecture.meta_model import build
from sparsecalc.measure.calibrate.eager_benchmarks import warm_up
from sparsecalc.measure.calibrate.local_device import local_device
from sparsecalc.measure.machine.conditions import doubts, environment, find_device, memory_bytes, noise
from sparsecalc.measure.machine.peak_memory import PeakMemory
from sparsecalc.measure.machine.stopwatch import FEWEST, FLUSH_IN_CACHES, last_level_cache_bytes, measure, synchronize
from sparsecalc.measure.timing.forced_routing import ForcedRouting
from sparsecalc.measure.timing.ledger_figures import rows_of, working_bytes
from sparsecalc.measure.timing.step_samples import Reading, formula, measurements
from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, RgLru
from sparsecalc.model.spec import ModelSpec

TORCH_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
FREE_SHARE = 0.6
"""Share of the free memory that is used unless a limit is given."""
WORKING_SLACK = 3
"""transformers' forward pass holds more results at once than a fused one; assumed before anything is run."""
LEAST_POINT_SECONDS = 1.0
FUSED_ELSEWHERE = (Mamba, Mamba2, GatedDeltaNet, LightningAttention, RgLru)
"""Mixers whose state updates engines run as one kernel, and transformers operation by operation."""


@dataclass
class Bed:
    """All that the points of one profile share."""

    spec: ModelSpec
    slice: Slice
    device: torch.device
    precision: Precision
    routing: Routing
    forced: ForcedRouting
    memory: PeakMemory
    memory_limit_bytes: int
    environment: dict[str, Any]
    cold: bool
    device_model: DeviceModel
    head_made_contiguous: bool
    warnings: list[Note] = field(default_factory=list)

    def warn(self, code: str, text: str) -> None:
        """A warning about this model, once."""
        found = Note(code=code, text=text, model=self.spec.id)
        if found not in self.warnings:
            self.warnings.append(found)


def profile(
    loaded: LoadedModel, question: ProfileQuestion, progress: Callable[[str], None] = lambda name: None
) -> ProfileReport:
    """Measure every point that is asked for. Ctrl-C ends it with what was measured so far, `interrupted` set.

    Raises InputError for a question that makes no sense, SparsecalcError where nothing could be run.
    """
    transformers.logging.set_verbosity_error()
    bed = prepare(loaded, question.checked())
    points = [(phase, b, s) for phase in question.phases for b in question.batch_sizes for s in question.context_lens]
    points.sort(key=lambda point: point[1] * (point[2] if point[0] == "prefill" else 1))  # the cheap ones are sure
    found: list[Measurement] = []
    formulas: list[str] = []
    interrupted = False
    end = time.monotonic() + question.time_budget_seconds
    try:
        for index, (phase, batch, context) in enumerate(points):
            progress(f"{phase}, batch {batch}, context {context}")
            left = end - time.monotonic()
            if left <= 0:
                skipped = ", ".join(f"{p} {b} x {s}" for p, b, s in points[index:])
                bed.warn("time-budget", f"the time budget was spent before: {skipped}")
                break
            reading = _with_less(bed, phase, batch, context, max(LEAST_POINT_SECONDS, left / (len(points) - index)))
            if reading:
                found += measurements(reading, bed.environment, bed.device_model)
                formulas.append(formula(reading))
    except KeyboardInterrupt:
        interrupted = True
    if not found and not interrupted:
        raise SparsecalcError(bed.warnings[-1].text if bed.warnings else "nothing was measured")
    return ProfileReport(
        command="profile",
        inputs={"model": loaded.spec.id, **question.to_dict()},
        warnings=bed.warnings,
        model=loaded.spec.id,
        environment=bed.environment,
        layers_measured={k.label: {"count": k.count, "measured": len(k.places)} for k in bed.slice.kinds},
        measurements=found,
        formulas=formulas,
        interrupted=interrupted,
    )


def prepare(loaded: LoadedModel, question: ProfileQuestion) -> Bed:
    """Layers with storage, forced routing, and the conditions."""
    spec, device = loaded.spec, find_device(question.device)
    routing = load_routing(question.routing)
    seen = environment(device)
    spread = noise(device)
    model, warnings = local_device(seen, question.calibration, question.dtype)
    build(loaded.config)  # what is imported for it, and what libraries set up, is no part of the model's memory
    warm_up(device, TORCH_DTYPES[question.dtype])
    memory = PeakMemory(device)
    limit = question.memory_limit_bytes or int(FREE_SHARE * memory_bytes(device)[0])
    dtype = TORCH_DTYPES[question.dtype]
    made = build_slice(loaded.config, spec, device, dtype, limit, question.layers, question.experts_implementation)
    config = getattr(made.model, "config", None)
    seen |= {
        "noise": spread,
        "dtype": question.dtype,
        "attention_implementation": getattr(config, "_attn_implementation", None),
        "weight_bytes": made.weight_bytes,
        "memory_limit_bytes": limit,
    }
    precision = precision_for(spec, question.dtype, question.dtype).but(activations=number_format(question.dtype))
    whole = spec.ops(Workload()).sum(precision.weight_bytes)
    cache = last_level_cache_bytes(device)
    bed = Bed(
        spec=spec,
        slice=made,
        device=device,
        precision=precision,
        routing=routing,
        forced=ForcedRouting(made.model, routing, device),
        memory=memory,
        memory_limit_bytes=limit,
        environment=seen,
        cold=made.weight_bytes < FLUSH_IN_CACHES * cache < whole,
        device_model=model,
        head_made_contiguous=_contiguous_head(made.model),
        warnings=loaded.warnings + doubts(seen, spread) + warnings,
    )
    seen["experts_implementation"] = getattr(config, "_experts_implementation", None) if bed.forced.experts else None
    _note_forms(bed, question)
    return bed


def _contiguous_head(model: Any) -> bool:
    """Copy what the LM head is given, as engines do; False where there is no head.

    transformers hands it a view of each prompt's last row, for which torch leaves its fast product (batch, CPU).
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None:
        return False
    head.register_forward_pre_hook(
        lambda module, given: (given[0].clone(memory_format=torch.contiguous_format), *given[1:])
    )
    return True


def _note_forms(bed: Bed, question: ProfileQuestion) -> None:
    """Where transformers runs something else than engines do."""
    if bed.head_made_contiguous and "prefill" in question.phases:
        bed.warn(
            "contiguous-head", "the LM head gets a copy of the prompts' last rows: on the view, torch is much slower"
        )
    mixers = [mixer for kind in bed.slice.kinds for mixer in kind.layer.mixers]
    if any(isinstance(mixer, Mla) for mixer in mixers) and "decode" in question.phases:
        bed.warn("expanded-latents", "transformers expands the cached latents of all tokens at every decode step")
    if any(isinstance(mixer, FUSED_ELSEWHERE) for mixer in mixers):
        bed.warn(
            "no-fused-scan", "recurrent layers may run without their fused kernels: prompts are slower than in engines"
        )
    if bed.spec.model_type in ("llama4_text", "llama4"):
        bed.warn("all-experts", "transformers computes all experts of Llama 4 for every token")
    fewest = min(len(kind.places) for kind in bed.slice.kinds)
    if question.layers and any(len(kind.places) < min(question.layers, kind.count) for kind in bed.slice.kinds):
        bed.warn("fewer-layers", f"{question.layers} layers of each kind do not fit: {fewest} were measured")


def _with_less(bed: Bed, phase: Phase, batch: int, context: int, budget: float) -> Reading | None:
    """The point, with half the batch for as long as memory is short; None where even one sequence cannot be run."""
    asked = batch
    while True:
        needed = _beyond_weights(bed, phase, batch, context)
        if bed.slice.weight_bytes + needed <= bed.memory_limit_bytes or batch == 1:
            try:
                reading = _point(bed, phase, batch, context, budget)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    text = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
                    bed.warn("not-run", f"{phase}, batch {batch}, context {context} does not run: {text}")
                    return None
            except (TypeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError) as error:
                bed.warn("not-run", f"{phase} does not run in transformers: {type(error).__name__}: {str(error)[:120]}")
                return None
            if bed.device.type == "cuda":
                torch.cuda.empty_cache()
        if batch == 1:
            bed.warn("memory", f"{phase} of 1 x {context} tokens does not fit into the memory")
            return None
        batch //= 2
    if batch < asked:
        bed.warn("smaller-batch", f"{phase} of {asked} x {context} tokens does not fit: batch {batch} was measured")
    return reading


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "not enough memory" in str(error) or "out of memory" in str(error).lower()


def work_of(bed: Bed, phase: Phase, batch_size: int, context_len: int) -> Workload:
    """The step as transformers runs it: logits of the last token, latents expanded."""
    return Workload(
        phase=phase,
        batch_size=batch_size,
        new_tokens=context_len if phase == "prefill" else 1,
        context_len=context_len,
        logits="last",
        latent_attention="expanded",
        routing=bed.routing,
    )


def _beyond_weights(bed: Bed, phase: Phase, batch: int, context: int) -> float:
    """Bytes that a point needs beside the weights, on the safe side."""
    work = work_of(bed, phase, batch, context)
    rows = rows_of(bed.spec, bed.slice.kinds, work)
    layers = {kind.label: len(kind.places) for kind in bed.slice.kinds}
    cache = sum(times * bed.precision.kv_cache_bytes(op.kv_elements) for op, times in rows.added(layers))
    scores = 0.0
    if bed.environment["attention_implementation"] == "eager":
        heads = getattr(bed.slice.model.config, "num_attention_heads", 1)
        scores = 8.0 * batch * heads * work.new_tokens * context  # as 16 and 32 bit, before and after the softmax
    return cache + scores + WORKING_SLACK * working_bytes(rows, bed.precision, work, bed.spec.hidden_size)


def _point(bed: Bed, phase: Phase, batch: int, context: int, budget: float) -> Reading | None:
    """All samples of one phase at one size."""
    work = work_of(bed, phase, batch, context)
    with torch.inference_mode():
        bed.forced.prepare(work.tokens)
        run = _step(bed, work)
        if run is None:
            bed.warn("no-cache", "this architecture keeps no cache that a decode step could start from")
            return None
        bed.memory.reset()
        start = time.perf_counter()
        run()
        synchronize(bed.device)
        one = time.perf_counter() - start
        peak = bed.memory.peak_bytes()
        if one * FEWEST > 4 * budget:
            bed.warn("time-budget", f"{phase} of {batch} x {context} tokens takes {one:.0f} s a run: left out")
            return None
        if bed.forced.experts and not bed.forced.forced:
            bed.warn("own-routing", "this architecture's choice of experts cannot be replaced: its own was measured")
        reading = Reading(bed.spec, bed.slice, work, bed.precision, peak_memory_bytes=peak)
        for chosen in _passes(units(bed.slice), bed.device):
            _sample(bed, run, chosen, reading, budget)
        if bed.device.type == "cuda":
            reading.eager = measure(run, bed.device, min_samples=FEWEST, budget_seconds=budget / 4, graph=False)
    reading.expected_distinct = _expected_distinct(bed, work)
    return reading


def _step(bed: Bed, work: Workload) -> Callable[[], None] | None:
    """A function that runs the step; None where there is no cache to decode from."""
    model = bed.slice.model
    if work.past:
        cache, reset = filled_cache(model, work.batch_size, work.past, bed.device)
        if cache is None:
            return None
        given = inputs(model, work.batch_size, work.new_tokens, bed.device, cache)

        def decode() -> None:
            reset()
            model(**given)

        return decode
    cache, reset = empty_cache(model, work.batch_size, bed.device)
    given = inputs(model, work.batch_size, work.new_tokens, bed.device, cache)

    def prefill() -> None:
        reset()
        model(**given if cache is not None else given | cache_argument(model))

    return prefill


def _passes(found: list[Unit], device: torch.device) -> Iterator[list[Unit]]:
    """What is marked together: everything on a CPU; on a GPU marks take time, so the step, layers and parts apart."""
    if device.type == "cpu":
        yield found
        return
    yield []
    yield [unit for unit in found if unit.key[1] == "layer"]
    yield [unit for unit in found if unit.key[1] != "layer"]


def _sample(bed: Bed, run: Callable[[], None], chosen: list[Unit], reading: Reading, budget: float) -> None:
    """Samples of the step with marks around the chosen units, added to the reading."""
    marks = Marks(chosen, bed.device)
    seen: list[dict[Key, float]] = []
    distinct: list[float | None] = []

    def marked() -> None:
        marks.clear()
        run()

    def after() -> None:
        seen.append(marks.seconds())
        distinct.append(bed.forced.distinct(reading.work.tokens) if bed.forced.forced else None)

    share = budget if bed.device.type == "cpu" else budget / 4
    try:
        samples = measure(
            marked, bed.device, before=bed.forced.advance, after=after, budget_seconds=share, warm_up=1, cold=bed.cold
        )
    finally:
        marks.remove()
    reading.add(samples, [seen[index] for index in samples.kept], [distinct[index] for index in samples.kept])


def _expected_distinct(bed: Bed, work: Workload) -> float | None:
    if not bed.forced.experts:
        return None
    place = bed.forced.experts[0]
    return float(bed.routing.expected_distinct(place.num_experts, place.top_k, work.tokens))
