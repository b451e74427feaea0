"""What the choice between models depends on: the numbers of requests in flight at which each is the cheapest."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

from sparsecalc.core.sign_changes import middle_of_integers
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.predict import serving_by_load
from sparsecalc.decide.question import Question
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.compare import Choice, ChoiceRange
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens

LOADS = (1, 4, 16, 64, 256, 1024)
"""Requests in flight that are looked at; between two with unlike winners, the change is narrowed down."""
LOADS_OF_MANY = (1, 16, 256, 1024)
CLOSE, CLOSE_OF_MANY = 1.05, 2
"""How closely: the load above a change over the load below. Many models are looked at more coarsely."""
MOST_SIDES = 12
"""Pairs of a model and an accelerator that are looked at, lest an answer take long: the first accelerators."""


def choices(names: list[str], variants: list[Variant], question: Question) -> list[Choice]:
    """For each accelerator that is asked for: which of the models costs the least at which loads.

        USD per million output tokens = USD per hour / 3600 / output tokens per second * 1e6

    (without a price: seconds per output token of all devices). With as many requests always in flight a model that
    yields more tokens per second is done with each of them sooner, its wait for a place included (Little's law), so
    that the cheaper one is the faster one too. Requests have the question's lengths. By the formula of the closed loop
    (estimate/serving.py), without its replay. A change back and forth between two looked-at loads is not seen.
    """
    accelerators = question.devices.accelerators[: max(1, MOST_SIDES // len(names))]
    return [_on(gpu, names, variants, question) for gpu in accelerators]


def _on(gpu: Accelerator, names: list[str], variants: list[Variant], question: Question) -> Choice:
    sides = dict(zip(names, (_side(variant, question, gpu) for variant in variants), strict=True))
    priced = gpu.usd_per_hour is not None
    return Choice(
        accelerator=gpu.id,
        num_gpus=question.parallelism.num_devices,
        cost="usd_per_million_output_tokens" if priced else "seconds_per_output_token",
        ranges=_ranges(cache(lambda load: {name: side(load) for name, side in sides.items()}), len(names)),
    )


def _side(variant: Variant, question: Question, gpu: Accelerator) -> Callable[[int], float]:
    """What one model costs with so many requests in flight."""
    deployed = deploy(variant.model, variant.precision, question, gpu)
    serving, per_hour = serving_by_load(deployed, question), usd_per_hour(gpu, deployed.placement.num_gpus)

    def cost(load: int) -> float:
        seconds = 1 / serving(load).output_tokens_per_second
        usd = usd_per_million_tokens(per_hour, seconds)
        return seconds if usd is None else usd

    return cost


def _ranges(costs: Callable[[int], dict[str, float]], models: int) -> list[ChoiceRange]:
    """Neighbouring loads with the same least model as one range each."""
    seen: dict[int, str] = {}
    loads = LOADS if models <= 3 else LOADS_OF_MANY
    close = CLOSE if models == 2 else CLOSE_OF_MANY

    def winner(load: int) -> str:
        if load not in seen:
            each = costs(load)
            seen[load] = min(each, key=lambda name: each[name])
        return seen[load]

    def narrow(low: int, high: int) -> None:
        same, middle = winner(low) == winner(high), middle_of_integers(low, high)
        if same or middle is None or high <= close * low:
            return
        narrow(low, int(middle))
        narrow(int(middle), high)

    for low, high in pairwise(loads):
        narrow(low, high)
    return _joined(sorted(seen), seen, costs)


def _joined(loads: list[int], winners: dict[int, str], costs: Callable[[int], dict[str, float]]) -> list[ChoiceRange]:
    found: list[list[int]] = []
    for load in loads:
        if found and winners[found[-1][-1]] == winners[load]:
            found[-1].append(load)
        else:
            found.append([load])
    return [_range(winners[group[0]], group, costs) for group in found]


def _range(model: str, loads: list[int], costs: Callable[[int], dict[str, float]]) -> ChoiceRange:
    """The range, and what the model costs in it over the next best one."""
    ratios = []
    for load in loads:
        each = costs(load)
        ratios.append(each[model] / min(value for name, value in each.items() if name != model))
    return ChoiceRange(
        model=model,
        concurrency_low=loads[0],
        concurrency_high=loads[-1],
        ratio_low=min(ratios),
        ratio_high=max(ratios),
    )
