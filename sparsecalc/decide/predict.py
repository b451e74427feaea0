"""Seconds, tokens per second, dollars and joules of a model on accelerators."""

from collections.abc import Callable, Iterator
from math import exp

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.precision import Precision
from sparsecalc.core.units import nbytes
from sparsecalc.decide.capacity import HeldMemory, capacity_warnings, prompt_chunks
from sparsecalc.decide.deploy import deploy, device_warnings, drafting, format_warnings, speedup_warnings
from sparsecalc.decide.host_report import host_notes, host_prediction, is_paged
from sparsecalc.decide.multi_token_prediction import prediction_notes
from sparsecalc.decide.ollama import ollama_estimate
from sparsecalc.decide.question import Question
from sparsecalc.documents.show import GridPoint
from sparsecalc.estimate.closed_loop import by_formula
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.fit import DeviceMemory
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.results import PhasePrediction, Prediction, ServingPrediction, Speculation
from sparsecalc.estimate.step import BAND, Step
from sparsecalc.model.ledgers import Ledgers

MOST_REPLAYED = 4096
"""Requests in flight up to which a closed loop, or all those of a grid, are replayed, lest an answer take long."""


def predict(
    model: Ledgers, precision: Precision, question: Question, *, requested: bool
) -> tuple[Prediction, list[GridPoint], list[Note]]:
    """What the named accelerators make of a model: the first one at the first load in full, all of them as a grid.

    `requested`: the weights' format was asked for, so that a device without it is refused; else it is warned of.
    """
    deployments = [deploy(model, precision, question, gpu) for gpu in question.devices.accelerators]
    warnings = [note for deployed in deployments for note in format_warnings(deployed, requested)]
    warnings += [note for deployed in deployments for note in speedup_warnings(deployed, question)]
    warnings += [note for deployed in deployments for note in device_warnings(deployed)]
    warnings += prediction_notes(model.spec, question.speculative)
    prediction = _prediction(deployments[0], question, drafting(question, deployments[0]))
    warnings += capacity_warnings(deployments[0], question, prediction)
    warnings += host_notes(deployments[0], prediction.host, question.parallelism.host)
    if not (prediction.fits or is_paged(prediction)):
        text = f"{why_not(prediction, precision)}; the seconds are those of devices large enough"
        warnings.append(Note(code="does-not-fit", text=text, model=model.spec.id))
    return prediction, _grid(deployments, question), warnings


def grid_of(
    model: Ledgers, precision: Precision, question: Question, *, requested: bool
) -> tuple[list[GridPoint], list[Note]]:
    """The points of one layout of several, and the warnings that belong to them."""
    deployments = [deploy(model, precision, question, gpu) for gpu in question.devices.accelerators]
    warnings = [note for deployed in deployments for note in format_warnings(deployed, requested)]
    return _grid(deployments, question), warnings


def _grid(deployments: list[Deployment], question: Question) -> list[GridPoint]:
    """All points of the accelerators; none where it would be a single one."""
    batches, contexts = question.grid.batch_sizes, question.grid.context_lens
    layouts = max(1, len(question.layouts))
    if layouts * len(deployments) * len(batches) * len(contexts) == 1:
        return []
    loads = [question.at(batch_size=batch, context_len=context) for batch in batches for context in contexts]
    replays = layouts * len(deployments) * sum(load.load.batch_size for load in loads) <= MOST_REPLAYED
    return [point for deployed in deployments for point in _points(deployed, question, loads, replays)]


def _prediction(deployed: Deployment, question: Question, draft: Drafting | None) -> Prediction:
    capacity, load = HeldMemory(deployed, question), question.load
    fitting = capacity.predicted(load)
    timed = _timed(deployed, question, draft, capacity)
    per_hour, prompt_len = fitting.usd_per_hour, question.requests.prompt_len
    return fitting.but(
        host_memory_bytes=capacity.memory.on_host(load),
        host=host_prediction(deployed, load, timed.decode),
        engine=deployed.device.engine.id,
        ollama_memory=ollama_estimate(deployed, question),
        routing=deployed.routing.name,
        prefill=_phase(timed.prompt, prompt_len),
        decode=_phase(timed.decode, load.batch_size),
        serving=timed.serving,
        speculation=timed.speculation,
        usd_per_million_output_tokens=usd_per_million_tokens(per_hour, 1 / timed.serving.output_tokens_per_second),
        usd_per_million_input_tokens=usd_per_million_tokens(per_hour, timed.prompt.seconds / prompt_len),
    )


class _Timed(Frozen):
    """A load's steps, and what serving makes of them."""

    prompt: Step
    decode: Step
    speculation: Speculation | None
    serving: ServingPrediction


def _timed(
    deployed: Deployment, question: Question, draft: Drafting | None, capacity: HeldMemory, *, replays: bool = True
) -> _Timed:
    prompt = deployed.prompt(prompt_chunks(deployed, question, question.requests.prompt_len))
    decode = deployed.step([deployed.decode_of(question.load)])
    speculation = _speculation(deployed, question, draft, decode) if draft else None
    how = serve if replays else _serve_by_formula
    served = how(deployed, question, draft, capacity, prompt)
    return _Timed(prompt=prompt, decode=decode, speculation=speculation, serving=served)


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


def serve(
    deployed: Deployment, question: Question, draft: Drafting | None, capacity: HeldMemory, prompt: Step
) -> ServingPrediction:
    """Requests in a closed loop: replayed where several are in flight, by the formula for one and for very many."""
    several = 1 < question.requests.concurrency <= MOST_REPLAYED
    if several and question.requests.output_len > 1:  # a single token has no TPOT of its own
        from sparsecalc.decide.closed_loop import serve_together

        return serve_together(deployed, question, draft, capacity, prompt)
    return _serve_by_formula(deployed, question, draft, capacity, prompt)


def _serve_by_formula(
    deployed: Deployment, question: Question, draft: Drafting | None, capacity: HeldMemory, prompt: Step
) -> ServingPrediction:
    """The figures of `by_formula`, with TTFT's band."""
    requests = question.requests
    running = capacity.running(requests, question.load)
    chunks = prompt_chunks(deployed, question, requests.prompt_len)
    found = by_formula(deployed, requests, running, chunks, prompt.seconds, draft)
    engine = deployed.device.engine
    beside = exp(BAND * float(engine.first_token_spread_at(running)))
    return ServingPrediction(
        **vars(requests),
        running=running,
        waiting=requests.concurrency - running,
        **found,
        ttft_seconds_low=found["ttft_seconds"] / beside,
        ttft_seconds_high=found["ttft_seconds"] * beside,
        joules_per_output_token_at_most=deployed.joules_per_token_at_most(found["output_tokens_per_second"]),
    )


def _speculation(deployed: Deployment, question: Question, draft: Drafting, decode: Step) -> Speculation:
    """E[accepted] * t / (t_verify + guesses * t_draft). Source: arXiv:2211.17192, section 3."""
    load = question.load
    verify = deployed.step([deployed.decode(load.context_len, load.batch_size, draft.draft_tokens)]).seconds
    draft_seconds = draft.draft_seconds(load)
    return Speculation(
        draft_tokens=draft.draft_tokens,
        acceptance=draft.acceptance,
        accepted_tokens=draft.accepted_tokens,
        verify_seconds=verify,
        draft_seconds=draft_seconds,
        speedup=draft.accepted_tokens * decode.seconds / (verify + draft_seconds),
    )


def _points(deployed: Deployment, question: Question, loads: list[Question], replays: bool) -> Iterator[GridPoint]:
    """The points of one accelerator's grid; `replays`: their closed loops are replayed, else by the formula."""
    capacity, draft = HeldMemory(deployed, question), drafting(question, deployed)
    return (_point(deployed, load, draft, capacity, replays) for load in loads)


def _point(
    deployed: Deployment, question: Question, draft: Drafting | None, capacity: HeldMemory, replays: bool
) -> GridPoint:
    """One point of a grid; its requests fill the context, and as many are in flight as the batch holds."""
    load, gpu, plan = question.load, deployed.gpu, deployed.placement
    timed = _timed(deployed, question, draft, capacity, replays=replays)
    decode, serving = timed.decode, timed.serving
    per_token = 1 / serving.output_tokens_per_second
    return GridPoint(
        accelerator=gpu.id,
        num_gpus=plan.num_gpus,
        batch_size=load.batch_size,
        context_len=load.context_len,
        fits=capacity.fits(load),
        prefill_seconds=timed.prompt.seconds,
        decode_seconds=decode.seconds,
        decode_seconds_low=decode.seconds_low,
        decode_seconds_high=decode.seconds_high,
        bound=decode.bound,
        tpot_seconds=serving.tpot_seconds,
        output_tokens_per_second_per_gpu=serving.output_tokens_per_second_per_gpu,
        usd_per_million_output_tokens=usd_per_million_tokens(usd_per_hour(gpu, plan.num_gpus), per_token),
        placement=plan.name,
        weights_dtype=deployed.precision.name,
    )


def refuse_what_does_not_fit(deployed: Deployment, question: Question) -> None:
    """Raise InputError where a device cannot hold its part of the weights."""
    held = DeviceMemory(deployed.model, deployed.precision, deployed.placement).at(question.load)
    if held.weights > deployed.gpu.capacity_bytes:
        fitting = HeldMemory(deployed, question).predicted(question.load)
        raise InputError(f"{deployed.model.spec.id} {why_not(fitting, deployed.precision)}")


def why_not(fitting: Prediction, precision: Precision) -> str:
    """By how much a model does not fit, and what would."""
    device = f"{fitting.num_gpus} x {fitting.accelerator} ({fitting.placement})"
    text = f"does not fit on {device}: {nbytes(-fitting.free_bytes_per_gpu)} per device too much"
    ways = [f"{fitting.gpus_needed} devices"] if (fitting.gpus_needed or 0) > fitting.num_gpus else []
    if fitting.largest_batch_size:
        ways.append(f"a batch of {fitting.largest_batch_size:,}")
    if fitting.largest_context_len:
        ways.append(f"a context of {fitting.largest_context_len:,}")
    if precision.weights.bits > 4:
        ways.append("weights in fewer bits (--dtype int4)")
    return f"{text}. Would fit, or come closer: {', '.join(ways)}"


def serving_by_load(deployed: Deployment, question: Question) -> Callable[[int], ServingPrediction]:
    """What so many requests in flight get of a deployment, by the formula and not by the replay: many loads at once."""
    capacity, draft = HeldMemory(deployed, question), drafting(question, deployed)
    prompt = deployed.prompt(prompt_chunks(deployed, question, question.requests.prompt_len))
    return lambda load: _serve_by_formula(deployed, question.at(batch_size=load), draft, capacity, prompt)
