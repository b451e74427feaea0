"""Seconds, tokens per second, dollars and joules of a model on accelerators."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.precision import Precision
from sparsecalc.core.units import nbytes
from sparsecalc.core.workload import Workload
from sparsecalc.decide.placement import placement_for
from sparsecalc.decide.question import Question, routing_of
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.show import GridPoint
from sparsecalc.estimate.costs import Load
from sparsecalc.estimate.fit import budget_bytes, bytes_per_gpu, fit
from sparsecalc.estimate.results import PhasePrediction, Prediction, ServingPrediction, Speculation
from sparsecalc.estimate.serving import Loop, accepted_tokens, prefill_step, tpot_seconds
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.model.spec import ModelSpec

Found = tuple[Prediction, list[GridPoint], list[Note]]


class Case:
    """One model on one accelerator: everything that stays the same from step to step."""

    def __init__(self, spec: ModelSpec, precision: Precision, question: Question, gpu: Accelerator) -> None:
        self.spec, self.precision, self.question, self.gpu = spec, precision, question, gpu
        self.device = device_model(gpu, question.engine)
        self.plan = placement_for(spec, question, self.device.domain_size)
        self.routing = routing_of(spec, question)
        self.draft = _draft(question)

    def step(self, works: Sequence[Workload]) -> Step:
        """Seconds of one step."""
        return step_time(self.spec, works, self.precision, self.device, self.plan)

    def decode(self, context_len: int, batch_size: int) -> Workload:
        """One more token of each sequence; with speculation, the guesses are verified beside it."""
        guessed = self.question.draft_tokens
        return Workload(
            phase="decode",
            batch_size=batch_size,
            new_tokens=1 + guessed,
            context_len=context_len + guessed,
            routing=self.routing,
        )

    def plain(self, load: Load) -> Workload:
        """One more token of each sequence, without guesses."""
        return Workload.decode(load.context_len, load.batch_size, routing=self.routing)

    def loop(self, load: Load, question: Question) -> Loop:
        """The closed loop that is asked for."""
        prompt, answer = question.lengths()
        return Loop(prompt, answer, question.concurrency or load.batch_size, load.max_num_batched_tokens, self.routing)


def predict(spec: ModelSpec, precision: Precision, question: Question, *, requested: bool) -> Found:
    """What the named accelerators make of a model: the first one at the first load in full, all of them as a grid.

    `requested`: the weights' format was asked for, so that a device without it is refused; else it is warned of.
    """
    cases = [Case(spec, precision, question, gpu) for gpu in accelerators(question)]
    warnings = [warn for case in cases for warn in _format_warnings(case, requested)]
    warnings += [warn for case in cases for warn in _speedup_warnings(case)]
    found = _prediction(cases[0], question)
    if not found.fits:
        text = f"{_why_not(found, precision)}; seconds are as if it did"
        warnings.append(Note(code="does-not-fit", text=text, model=spec.id))
    batches = question.batch_sizes or (question.load().batch_size,)
    contexts = question.context_lens or (question.load().context_len,)
    grid = []
    if len(cases) * len(batches) * len(contexts) > 1:
        grid = [_point(case, batch, context) for case in cases for batch in batches for context in contexts]
    return found, grid, warnings


def accelerators(question: Question) -> list[Accelerator]:
    """The named accelerators. Raises InputError where a calibration is named that is of none of them."""
    found = [load_accelerator(name, question.calibration) for name in question.accelerators()]
    if question.calibration and not any(gpu.calibration for gpu in found):
        named = ", ".join(gpu.id for gpu in found)
        raise InputError(f"the calibration is not of {named}", hint="Name its device: --gpu local")
    return found


def _draft(question: Question) -> "Case | None":
    """The draft model on the same devices, where one is named."""
    if question.draft_tokens < 0 or question.draft_tokens > 64:
        raise InputError(f"--draft-tokens is {question.draft_tokens}", hint="It must be between 0 and 64")
    share = question.acceptance
    if question.draft_tokens and (share is None or not 0 <= share <= 1):
        raise InputError(f"--acceptance is {share}", hint="Speculation needs the share of accepted guesses, 0 to 1")
    if not question.draft_model or not question.draft_tokens:
        return None
    from sparsecalc.decide.model_name import load_variant

    variant = load_variant(question.draft_model)
    alone = question.but(draft_model=None, draft_tokens=0, routing="uniform", ep=None, offload=None)
    return Case(variant.loaded.spec, variant.precision, alone, accelerators(question)[0])


@dataclass(slots=True)
class _Steps:
    """What one load of a case takes."""

    loop: Loop
    prompt: Step
    plain: Step
    speculation: Speculation | None
    serving: ServingPrediction


def _steps(case: Case, question: Question) -> _Steps:
    load = question.load()
    loop = case.loop(load, question)
    prompt, plain = prefill_step(loop, case.step), case.step([case.plain(load)])
    speculation = _speculation(case, load, plain) if question.draft_tokens else None
    return _Steps(loop, prompt, plain, speculation, _serving(case, loop, prompt, speculation))


def _prediction(case: Case, question: Question) -> Prediction:
    load = question.load()
    found = fit(case.spec, case.precision, load, case.gpu, case.plan, question.device_memory_share)
    steps = _steps(case, question)
    return found.but(
        engine=case.device.engine.id,
        routing=case.routing.name,
        prefill=_phase(steps.prompt, steps.loop.prompt_len),
        decode=_phase(steps.plain, load.batch_size),
        serving=steps.serving,
        speculation=steps.speculation,
        usd_per_million_output_tokens=usd_per_million_tokens(
            found.usd_per_hour, 1 / steps.serving.output_tokens_per_second
        ),
        usd_per_million_input_tokens=usd_per_million_tokens(
            found.usd_per_hour, steps.prompt.seconds / steps.loop.prompt_len
        ),
    )


def _phase(step: Step, tokens: int) -> PhasePrediction:
    return PhasePrediction(
        seconds=step.seconds,
        seconds_low=step.seconds_low,
        seconds_high=step.seconds_high,
        tokens_per_second=tokens / step.seconds,
        bound=step.bound,
        by_bound=step.by_bound(),
        by_component=step.by_component(),
    )


def _serving(case: Case, loop: Loop, prompt: Step, speculation: Speculation | None) -> ServingPrediction:
    """Closed loop. A step of speculation yields `accepted_tokens`, and the draft model's steps come on top."""
    yielded = speculation.accepted_tokens if speculation else 1.0
    draft = speculation.draft_seconds if speculation else 0.0
    step = tpot_seconds(loop, case.step, case.decode, yielded)
    tpot = step.seconds + draft / yielded
    rate, gpus = loop.concurrency / tpot, case.plan.num_gpus
    watts = case.device.tdp_watts
    return ServingPrediction(
        prompt_len=loop.prompt_len,
        output_len=loop.output_len,
        concurrency=loop.concurrency,
        ttft_seconds=prompt.seconds + case.device.engine.prefill_seconds,
        tpot_seconds=tpot,
        tpot_seconds_low=tpot * step.seconds_low / step.seconds,
        tpot_seconds_high=tpot * step.seconds_high / step.seconds,
        output_tokens_per_second=rate,
        output_tokens_per_second_per_gpu=rate / gpus,
        joules_per_output_token_at_most=watts * gpus / rate if watts else None,
    )


def _speculation(case: Case, load: Load, plain: Step) -> Speculation:
    """E[accepted] * t / (t_verify + guesses * t_draft). Source: arXiv:2211.17192, section 3."""
    asked = case.question
    tokens = accepted_tokens(asked.draft_tokens, asked.acceptance or 0.0)
    verify = case.step([case.decode(load.context_len, load.batch_size)]).seconds
    draft = 0.0
    if case.draft:
        one = case.draft.step([Workload.decode(load.context_len, load.batch_size)])
        draft = asked.draft_tokens * one.seconds
    return Speculation(
        draft_tokens=asked.draft_tokens,
        acceptance=asked.acceptance or 0.0,
        accepted_tokens=tokens,
        verify_seconds=verify,
        draft_seconds=draft,
        speedup=tokens * plain.seconds / (verify + draft),
    )


def usd_per_million_tokens(per_hour: float | None, seconds_per_token: float) -> float | None:
    """USD of a million tokens on devices of `per_hour` USD together; None without a price."""
    return None if per_hour is None else per_hour / 3600 * seconds_per_token * 1e6


def _point(case: Case, batch_size: int, context_len: int) -> GridPoint:
    """One point of a grid; its requests fill the context, and as many are in flight as the batch holds."""
    asked = case.question.but(
        batch_size=batch_size, context_len=context_len, prompt_len=None, output_len=None, concurrency=None
    )
    held = bytes_per_gpu(case.spec, case.precision, asked.load(), case.plan)
    steps = _steps(case, asked)
    plain, serving = steps.plain, steps.serving
    price = case.gpu.usd_per_hour.value * case.plan.num_gpus if case.gpu.usd_per_hour else None
    return GridPoint(
        accelerator=case.gpu.id,
        num_gpus=case.plan.num_gpus,
        batch_size=batch_size,
        context_len=context_len,
        fits=held.total <= budget_bytes(case.gpu, asked.device_memory_share),
        prefill_seconds=steps.prompt.seconds,
        decode_seconds=plain.seconds,
        decode_seconds_low=plain.seconds_low,
        decode_seconds_high=plain.seconds_high,
        bound=plain.bound,
        tpot_seconds=serving.tpot_seconds,
        output_tokens_per_second_per_gpu=serving.output_tokens_per_second_per_gpu,
        usd_per_million_output_tokens=usd_per_million_tokens(price, 1 / serving.output_tokens_per_second),
    )


def _format_warnings(case: Case, requested: bool) -> list[Note]:
    """Formats that the device cannot multiply: refused where asked for, else widened to 16 bits with a warning."""
    peaks = case.device.peak_flops_per_second
    formats = {fmt.id: fmt for fmt in (case.precision.weights, *case.precision.by_component.values())}
    lacking = [fmt for fmt in formats.values() if fmt.compute and fmt.compute_needs not in peaks]
    if not lacking:
        return []
    first = lacking[0]
    text = f"{case.gpu.id} has no {first.compute_needs} units for {first.id}"
    if requested and first.compute == first.compute_needs:
        usable = "int4, int8" + (", fp8" if "fp8" in peaks else "")
        raise InputError(text, hint=f"Formats that it can use: bf16, {usable}")
    wide = f"{text}: weights stay in {first.id} and are multiplied in 16 bits"
    return [Note(code="format-widened", text=wide, model=case.spec.id)]


def _speedup_warnings(case: Case) -> list[Note]:
    """Sparse weights whose kernel was not measured on this device and format: where their speed-up comes from."""
    rows = case.spec.ops(case.plain(case.question.load()))
    sparse = next((op for op in rows if op.storage), None)
    if sparse is None:
        return []
    from sparsecalc.estimate.kernels import Setting

    device = case.device
    found = Setting(case.precision, case.plan, device.peak_flops_per_second, device.accelerator).sparse_speedup(sparse)
    if found.measured:
        return []
    reached = f"{found.value:.2f}x comes from {found.source}"
    text = f"{sparse.technique} was not measured on {case.gpu.id} for this: {reached}"
    return [Note(code="speedup-not-measured", text=text, model=case.spec.id)]


def refuse_what_does_not_fit(case: Case, load: Load) -> None:
    """Raise InputError where a device cannot hold its part of the weights."""
    found = fit(case.spec, case.precision, load, case.gpu, case.plan, case.question.device_memory_share)
    if found.weights_bytes_per_gpu > found.capacity_bytes:
        raise InputError(f"{case.spec.id} {_why_not(found, case.precision)}")


def _why_not(found: Prediction, precision: Precision) -> str:
    """By how much a model does not fit, and what would."""
    device = f"{found.num_gpus} x {found.accelerator} ({found.placement})"
    text = f"does not fit on {device}: {nbytes(-found.free_bytes_per_gpu)} per device too much"
    ways = [f"{found.gpus_needed} devices"] if found.gpus_needed and found.gpus_needed > found.num_gpus else []
    if found.largest_batch_size:
        ways.append(f"a batch of {found.largest_batch_size:,}")
    if found.largest_context_len:
        ways.append(f"a context of {found.largest_context_len:,}")
    if precision.weights.bits > 4:
        ways.append("weights in fewer bits (--dtype int4)")
    return f"{text}. Would fit, or come closer: {', '.join(ways)}"
