"""The conclusion of `compare`: plain sentences, each computed from the figures above them."""

from math import exp

from sparsecalc.core import units
from sparsecalc.decide.model_name import split_name
from sparsecalc.documents.compare import Choice, ChoiceRange
from sparsecalc.documents.show import GridPoint, ModelReport
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.load import Requests


def conclusion(models: list[ModelReport]) -> list[str]:
    """Two or three plain sentences, each computed from the figures above them."""
    holds = {}
    for model in models:
        total, active = model.params.total, model.params.active
        if model.experts and active < total:
            holds[total, active] = (
                f"{split_name(model.model.id)[0]} holds {total / active:.1f}x the parameters that it uses per token:"
                f" the memory of a {units.count(total)} model, the compute of a {units.count(active)} one."
            )
    costs_more = [_against(other, models[0]) for other in models[1:]]
    sentences = [*holds.values(), *costs_more, *_reach(models)]
    return (sentences[:3] if len(models) == 2 else sentences) + _faster(models) + _too_large(models)


def _against(other: ModelReport, first: ModelReport) -> str:
    """Compute and memory of one model in terms of the first, without the memory that each device reserves."""
    flops = _times(other.flops.decode_per_token, first.flops.decode_per_token)
    held, base = (model.memory.total_bytes - model.memory.framework_bytes for model in (other, first))
    return (
        f"A decoded token of {other.model.id} costs {flops} the FLOPs of one of {first.model.id}, and it needs"
        f" {_times(held, base)} the memory ({units.nbytes(held)} against {units.nbytes(base)}"
        f" for {first.memory.batch_size} x {first.memory.context_len:,} tokens)."
    )


def _reach(models: list[ModelReport]) -> list[str]:
    """What a batch changes: the share of the experts that it reaches."""
    sentences = []
    for model in models:
        used = model.experts
        if used:
            sentences.append(
                f"At batch {used.batch_size} a step of {model.model.id} reads about {used.expected_distinct:.1f} of"
                f" {used.num_experts} experts per layer ({used.routing} routing):"
                f" {units.nbytes(used.weight_bytes_read)} of {units.nbytes(model.memory.weights_bytes)} of weights."
            )
    return sentences


def _faster(models: list[ModelReport]) -> list[str]:
    """Which model's decode step is quicker on the hardware, and why each takes its time."""
    timed = [
        (model.model.id, model.prediction.decode) for model in models if model.prediction and model.prediction.decode
    ]
    if len(timed) < 2:
        return []
    (quick, best), (slow, worst) = (f(timed, key=lambda pair: pair[1].seconds) for f in (min, max))
    times = f"{worst.seconds / best.seconds:.2f}x" if best.seconds < worst.seconds else "as long as"
    return [
        f"A decode step of {slow} takes {times} that of {quick} ({units.duration(worst.seconds)}, bound by"
        f" {worst.bound}, against {units.duration(best.seconds)}, bound by {best.bound})."
    ]


def _too_large(models: list[ModelReport]) -> list[str]:
    """The verdict of the hardware, where it is no."""
    sentences = []
    for model in models:
        if model.prediction and not model.prediction.fits:
            needed = model.prediction.gpus_needed
            sentences.append(
                f"{model.model.id} does not fit on {model.prediction.num_gpus} {model.prediction.accelerator}"
                + (f": it needs {needed}." if needed else ".")
            )
    return sentences


def _times(value: float, base: float) -> str:
    return f"{value / base:.2f}x" if base else "an unbounded multiple of"


def answer(models: list[ModelReport]) -> str | None:
    """Which model is the cheapest of those that fit, at the load that is asked for or at each point of the grid.

    None without an accelerator, and where all are the same model.
    """
    if models[0].prediction is None or len({model.model.id for model in models}) == 1:
        return None
    if models[0].grid:
        return _at_each_point(models)
    costs = {model.model.id: cost for model in models if (cost := _cost(model)) is not None}
    device = f"{models[0].prediction.num_gpus} x {models[0].prediction.accelerator}"
    if not costs:
        return f"None of them fits on {device}."
    serving, least = models[0].prediction.serving, min(costs, key=lambda name: costs[name])
    if len(costs) == 1:
        return f"Only {least} fits on {device}."
    in_flight = serving.concurrency if serving else 1
    next_best = min((name for name in costs if name != least), key=lambda name: costs[name])
    ratio = costs[least] / costs[next_best]
    return (
        f"{least} is {_word(models)} on {device} with {in_flight:,} request{'s' if in_flight > 1 else ''} in flight:"
        f" {_amount(costs[least], models)}, {ratio:.2f}x of {next_best}{_tie(ratio)}."
    )


def _word(models: list[ModelReport]) -> str:
    several = len(models) > 2
    if _priced(models):
        return "the cheapest" if several else "cheaper"
    return "the fastest" if several else "faster"


def _priced(models: list[ModelReport]) -> bool:
    return models[0].prediction is not None and models[0].prediction.usd_per_million_output_tokens is not None


def _cost(model: ModelReport) -> float | None:
    """USD per million output tokens, or TPOT where the device has no price; None where the model does not fit."""
    found = model.prediction
    if not (found and found.fits and found.serving):
        return None
    return found.usd_per_million_output_tokens or found.serving.tpot_seconds


def _amount(cost: float, models: list[ModelReport]) -> str:
    return f"{cost:.3g} USD per million output tokens" if _priced(models) else f"{units.duration(cost)} per token"


def _at_each_point(models: list[ModelReport]) -> str:
    """Points of the grid by the model that costs the least there."""
    winners: dict[str, list[str]] = {}
    points = models[0].grid
    for at, point in enumerate(points):
        costs = {
            model.model.id: own.usd_per_million_output_tokens or own.tpot_seconds
            for model in models
            if (own := model.grid[at]).fits
        }
        least = min(costs, key=lambda name: costs[name]) if costs else "none fits"
        winners.setdefault(least, []).append(_point(point, points))
    kind = "Cheapest per million output tokens" if _priced(models) else "Fastest per token"
    if len(winners) == 1:
        return f"{kind} at all {len(points)} points: {next(iter(winners))}."
    return f"{kind}: {'; '.join(f'{name} at {_listed(places)}' for name, places in winners.items())}."


def _point(point: GridPoint, points: list[GridPoint]) -> str:
    """What tells a point from the others: accelerator, batch and context, as far as they vary."""
    parts = {"accelerator": "{}", "batch_size": "batch {:,}", "context_len": "context {:,}"}
    varying = [name for name in parts if len({getattr(each, name) for each in points}) > 1]
    return " ".join(parts[name].format(getattr(point, name)) for name in varying)


def _listed(places: list[str]) -> str:
    return ", ".join(places) if len(places) <= 8 else f"{', '.join(places[:8])} and {len(places) - 8} more"


def depends(choices: list[Choice], requests: Requests) -> list[str]:
    """What the choice depends on: the loads at which each model is cheaper, on each accelerator."""
    return [_depends(choice, requests) for choice in choices]


def _depends(choice: Choice, requests: Requests) -> str:
    word = "cheaper and faster" if choice.cost == "usd_per_million_output_tokens" else "faster"
    device = f"On {choice.num_gpus} x {choice.accelerator}"
    lengths = f"requests of {requests.prompt_len:,} + {requests.output_len:,} tokens"
    first, *others = choice.ranges
    if not others:
        span = f"at every load from {first.concurrency_low:,} to {first.concurrency_high:,} {lengths} in flight"
        return f"{device} {first.model} is {word} {span} ({_ratio(first)})."
    parts = [f"{first.model} up to {first.concurrency_high:,} ({_ratio(first)})"]
    parts += [f"{one.model} from {one.concurrency_low:,} ({_ratio(one)})" for one in others]
    return f"{device} it depends on the {lengths} in flight which is {word}: {', '.join(parts)}."


def _ratio(one: ChoiceRange) -> str:
    """`0.25x to 0.56x of the next`."""
    low, high = f"{one.ratio_low:.2f}x", f"{one.ratio_high:.2f}x"
    return (f"{low} of the next" if low == high else f"{low} to {high} of the next") + _tie(one.ratio_low)


def _tie(ratio: float) -> str:
    """What is said of a ratio below 1 whose 80 % band (`ratio_spread`) holds 1."""
    from sparsecalc.estimate.step import BAND

    return ", a tie within the error" if ratio * exp(BAND * engine_default("ratio_spread")) >= 1 else ""
