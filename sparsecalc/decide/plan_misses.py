"""Why the rest of a plan is not taken: the nearest of each accelerator, and by how much it misses."""

from dataclasses import dataclass

from sparsecalc.core import units
from sparsecalc.decide.plan_order import is_tied
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.decide.plan_replay import Finalist, requests_per_second
from sparsecalc.decide.plan_search import NotHeld, PlanOption
from sparsecalc.documents.plan import NearMiss


@dataclass(slots=True)
class Rest:
    """What is not listed: options over a target by the formula, others that were not replayed with what is expected of
    them, finalists that miss a target, layouts that hold no load."""

    over: list[tuple[PlanOption, str]]
    untried: list[tuple[PlanOption, float]]
    missed: list[tuple[Finalist, str]]
    left_out: list[NotHeld]


Place = tuple[str, str]


def near_misses(asked: PlanAsked, met: list[Finalist], listed: list[Finalist], rest: Rest) -> list[NearMiss]:
    """One for each model on each accelerator that no candidate is on: the one that comes nearest, the nearest first."""
    done = {_place(each.option) for each in listed}
    found: dict[Place, tuple[float, NearMiss]] = {}
    for final in met:
        tied = is_tied(asked, final, listed[0])
        _keep(found, final.option, 0.0, "tied" if tied else "dominated", _beaten(final, listed[0], tied=tied), done)
    for final, reason in rest.missed:
        factor, text = _final_miss(asked, final, reason)
        _keep(found, final.option, factor, reason, text, done)
    for option, tpot in rest.untried:
        factor, text = _untried_miss(asked, option, tpot, "behind the candidates" if listed else "not replayed")
        _keep(found, option, factor, "tpot" if factor > 1 else "not-replayed", text, done)
    for option, reason in rest.over:
        factor, text = _option_miss(asked, option, reason)
        _keep(found, option, factor, reason, f"{text} by the closed formula" * bool(text), done)
    for one in rest.left_out:
        place = (one.checkpoint.model, one.gpu.id)
        if place not in done:
            miss = NearMiss(model=place[0], accelerator=place[1], reason=one.reason, text=one.text)
            found.setdefault(place, (1e9, miss))
    return [miss for _, miss in sorted(found.values(), key=lambda each: each[0])]


def _place(option: PlanOption) -> Place:
    return option.checkpoint.model, option.gpu.id


def _keep(
    found: dict[Place, tuple[float, NearMiss]],
    option: PlanOption,
    factor: float,
    reason: str,
    text: str,
    done: set[Place],
) -> None:
    """The nearest of each place so far."""
    place = _place(option)
    if place in done or (place in found and found[place][0] <= factor):
        return
    found[place] = factor, NearMiss(model=place[0], accelerator=place[1], reason=reason, text=text)


def _beaten(final: Finalist, best: Finalist, *, tied: bool) -> str:
    mine, other = final.usd_per_million, best.usd_per_million
    text = f"{_label(final.option)}: {units.duration(final.tpot_seconds)} per token"
    if mine is not None and other is not None:
        text += f", USD {mine:.2f} per million ({mine / other - 1:+.0%})"
    return f"{text}, which a candidate beats in everything" + (", though within the band: a tie" if tied else "")


def _final_miss(asked: PlanAsked, final: Finalist, reason: str) -> tuple[float, str]:
    if reason == "rate" and asked.rate:
        reached = requests_per_second(final)
        return asked.rate / reached, f"{_label(final.option)}: {reached:.3g} of {asked.rate:g} requests/s"
    values = {"tpot": final.tpot_seconds, "ttft": final.serving.ttft_seconds}
    if reason not in values:
        return 2.0, f"{_label(final.option)}: its cache does not hold the requests"
    return _over(asked, final.option, reason, values[reason])


def _untried_miss(asked: PlanAsked, option: PlanOption, tpot: float, why: str) -> tuple[float, str]:
    """What was left to the closed formula: over the target, or behind what was replayed."""
    if asked.tpot is not None and tpot > asked.tpot:
        factor, text = _over(asked, option, "tpot", tpot)
        return factor, f"{text} by the closed formula"
    price = f", USD {option.usd_per_million:.2f} per million" if option.usd_per_million is not None else ""
    return (
        0.5,
        f"{_label(option)}: {units.duration(tpot)} per token{price} by the closed formula, {why}",
    )


def _option_miss(asked: PlanAsked, option: PlanOption, reason: str) -> tuple[float, str]:
    values = {"tpot": option.tpot_seconds, "ttft": option.idle_seconds, "budget": option.usd_per_hour}
    value = values[reason]
    if value is None:
        return 1e6, f"{_label(option)}: it has no price to hold against the budget"
    return _over(asked, option, reason, value)


NAMES = {"tpot": "TPOT", "ttft": "TTFT", "budget": "USD per hour"}


def _over(asked: PlanAsked, option: PlanOption, reason: str, value: float) -> tuple[float, str]:
    """How many times the target a value is, and that in words."""
    target = {"tpot": asked.tpot, "ttft": asked.ttft, "budget": asked.budget}[reason]
    assert target is not None
    shown = [f"{each:,.2f}" if reason == "budget" else units.duration(each) for each in (value, target)]
    return value / target, f"{_label(option)}: {NAMES[reason]} {shown[0]}, {value / target - 1:.0%} over {shown[1]}"


def _label(option: PlanOption) -> str:
    return f"{option.label} in {option.checkpoint.dtype}"
