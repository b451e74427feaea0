"""What a plan sorts by, what no other candidate beats, and what is as good as the best within the band."""

from math import exp, inf, isfinite

from sparsecalc.decide.plan_front import on_front
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.decide.plan_replay import Finalist
from sparsecalc.decide.plan_search import PlanOption
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.step import BAND


def _dollars(per_million: float | None, per_hour: float | None, asked: PlanAsked) -> float:
    """What `usd` sorts by: of a given rate, which all serve, the price of the hour."""
    found = per_hour if asked.rate else per_million
    return inf if found is None else found


def option_key(option: PlanOption, asked: PlanAsked) -> tuple[float, ...]:
    """What options are sorted by, the smallest first."""
    dollars = _dollars(option.usd_per_million, option.usd_per_hour, asked)
    return _order(asked, dollars, option.tpot_seconds, option.num_gpus)


def final_key(final: Finalist, asked: PlanAsked) -> tuple[float, ...]:
    """What finalists are sorted by, the smallest first."""
    dollars = _dollars(final.usd_per_million, final.option.usd_per_hour, asked)
    return _order(asked, dollars, final.tpot_seconds, final.option.num_gpus)


def _order(asked: PlanAsked, dollars: float, tpot: float, num_gpus: int) -> tuple[float, ...]:
    if asked.sort == "speed":
        return tpot, dollars, num_gpus
    return (num_gpus, dollars, tpot) if asked.sort == "gpus" else (dollars, num_gpus, tpot)


def option_costs(option: PlanOption) -> tuple[float, ...]:
    """Seconds per token of a user, device seconds per token, dollars per token."""
    per_token = option.num_gpus / option.tokens_per_second
    return option.tpot_seconds, per_token, _or_inf(option.usd_per_million)


def final_costs(final: Finalist) -> tuple[float, ...]:
    """The same of a finalist."""
    return final.tpot_seconds, 1 / final.tokens_per_second_per_gpu, _or_inf(final.usd_per_million)


def _or_inf(value: float | None) -> float:
    return inf if value is None else value


def unbeaten(met: list[Finalist]) -> list[Finalist]:
    """The recommended one, and those that none beats in speed, throughput and dollars together."""
    front = on_front(met, final_costs)
    return [each for each in met if each in front or each is met[0]]


def is_tied(asked: PlanAsked, final: Finalist, best: Finalist) -> bool:
    """Whether what is sorted by differs from the best one's by less than the 80 % band of a ratio.

    Numbers of devices have no band: of equally many, their dollars are compared. Without a price nothing is tied.
    """
    mine, other = final_key(final, asked), final_key(best, asked)
    if asked.sort == "gpus":
        if mine[0] != other[0]:
            return False
        mine, other = mine[1:], other[1:]
    band = exp(BAND * engine_default("ratio_spread"))
    return final is not best and isfinite(other[0]) and mine[0] <= band * other[0]
