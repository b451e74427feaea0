"""The highest rate of arrivals at which a server still keeps its targets."""

import numpy as np

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.units import duration
from sparsecalc.decide.targets import Targets
from sparsecalc.estimate.replay.served import Scene, Served
from sparsecalc.estimate.replay.step_costs import StepCosts
from sparsecalc.estimate.replay.traffic import Traffic

HALVINGS = 12
"""Of the bracket in which the rate is sought: to 0.02 % of the saturated rate."""
IDLE_SHARE = 1e-3
"""Of the saturated rate: as good as an idle server."""


class HighestRate(Frozen):
    """Requests per second; None where not even an idle server keeps the targets, and why."""

    requests_per_second: float | None
    least: float
    why: str = ""


def highest_rate(
    scene: Scene,
    traffic: Traffic,
    costs: StepCosts,
    targets: Targets,
    attained_share: float,
    *,
    bracket: tuple[float, float] | None = None,
    halvings: int = HALVINGS,
) -> HighestRate:
    """By bisection over rates of the same requests, whose gaps shrink as the rate grows.

    A rate is kept where `attained_share` of the requests meet every target. It is sought within `bracket`; else, and
    where its lower end is not kept, from an idle server to beyond saturation. Raises InputError where no target is
    named.
    """
    if not targets.given:
        raise InputError("--find-rate needs targets", hint="Such as --slo ttft=1s,tpot=50ms")

    def keeps(rate: float) -> bool:
        met = targets.met(Served(scene, traffic.faster(rate), costs))
        return met is not None and float(np.mean(met)) >= attained_share

    if bracket is None or not keeps(bracket[0]):
        burst = traffic.but(arrival_seconds=np.zeros(traffic.requests))
        saturated = traffic.requests / Served(scene, burst, costs).duration
        low, high = IDLE_SHARE * saturated, 2 * saturated
        if not keeps(low):
            return HighestRate(requests_per_second=None, least=low, why=_why(scene, traffic, costs, targets))
    else:
        low, high = bracket
    least = low
    if keeps(high):
        return HighestRate(requests_per_second=high, least=least, why="the requests end before a queue builds up")
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return HighestRate(requests_per_second=low, least=least)


def _why(scene: Scene, traffic: Traffic, costs: StepCosts, targets: Targets) -> str:
    """Which target an idle server misses, and by how much."""
    alone = traffic.but(arrival_seconds=None, concurrency=1)
    served = Served(scene, alone, costs)
    times = {"ttft": served.ttft, "tpot": served.tpot, "e2e": served.e2e}
    missed = [
        f"{name} is {duration(float(np.quantile(times[name], 0.99)))}, its target {duration(limit)}"
        for name, limit in targets.given.items()
        if len(times[name]) and np.quantile(times[name], 0.99) > limit
    ]
    at = f": at the 99th percentile {', '.join(missed)}" if missed else ""
    return f"not even an idle server keeps the targets{at}"
