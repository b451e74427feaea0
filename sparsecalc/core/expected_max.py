"""Expected values of random counts: the largest of several, and the part that exceeds a limit.

A count is described by its mean and by p = 1 - variance / mean: a binomial with mean / p trials. The number of hits
among independent events of probabilities p_i has p = sum(p_i^2) / sum(p_i).
"""

from collections import Counter
from collections.abc import Iterable
from math import ceil, erfc, exp, pi, sqrt

Count = tuple[float, float]

EXACT_MEAN = 40.0
"""Up to this mean the largest count is summed over whole numbers; beyond it, a normal curve with its skew is used."""
EXACT_VARIANCE = 2500.0
"""Up to this variance the excess over a limit is summed over whole numbers; beyond it, a normal curve is used."""
MOST_EVENTS = 40
"""Up to so many events the number of hits is taken exactly; beyond, as a binomial."""
_NOTHING = 1e-14
_REACH = 8.0
"""Standard deviations from the mean beyond which nothing is expected."""
_STEPS = 64


def binomial(mean: float, p: float) -> tuple[int, list[float]]:
    """The first whole number that matters, and the probabilities from there on; mean / p trials, perhaps a fraction.

    Built from the most likely number outwards, so that nothing underflows.
    """
    if p >= 1 - 1e-12:
        return round(mean), [1.0]
    trials, odds = mean / p, p / (1 - p)
    reach = int(_REACH * sqrt(mean * (1 - p))) + 8
    mode = min(int((trials + 1) * p), int(trials))
    up = [1.0]
    for count in range(mode, min(mode + reach, ceil(trials - 1e-9))):
        up.append(up[-1] * (trials - count) / (count + 1) * odds)
    down = [1.0]
    for count in range(mode, max(mode - reach, 0), -1):
        down.append(down[-1] * count / ((trials - count + 1) * odds))
    weights = down[:0:-1] + up
    total = sum(weights)
    return mode - len(down) + 1, [value / total for value in weights]


def hits(probabilities: Iterable[float]) -> list[float]:
    """The exact distribution of the number of hits among independent events: probabilities of 0, 1, 2, ..."""
    chances = [1.0]
    for p in probabilities:
        chances = [a * (1 - p) + b * p for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)]
        while chances[-1] < _NOTHING:
            chances.pop()
    return chances


def expected_max_hits(groups: Iterable[tuple[float, ...]]) -> float:
    """Expected largest number of hits of independent groups of events; exact for groups of up to 40 events."""
    known = []
    for events, times in Counter(groups).items():
        mean = sum(events)
        if len(events) <= MOST_EVENTS:
            known.append((0, hits(events), times))
        elif mean > 0:
            known.append((*binomial(mean, sum(p * p for p in events) / mean), times))
    return _largest_whole(known)


def expected_max(counts: Iterable[Count]) -> float:
    """Expected largest of independent counts.

        E[max] = sum over m >= 0 of 1 - prod over counts of P(N <= m)

    Counts that share a fixed total, as equal ranks do, have the same E[max] as independent ones of the variance that
    they would have without it, to the order of the normal approximation.
    """
    groups = Counter(count for count in counts if count[0] > 0)
    if not groups:
        return 0.0
    top = max(mean for mean, _ in groups)
    if top > EXACT_MEAN:
        return _largest_normal(groups)
    return _largest_whole([(*binomial(mean, p), times) for (mean, p), times in groups.items()])


def _largest_whole(known: list[tuple[int, list[float], int]]) -> float:
    end = max(start + len(chances) for start, chances, _ in known)
    below = [1.0] * end
    for start, chances, times in known:
        below[:start] = [0.0] * start
        reached = 0.0
        for count, chance in enumerate(chances, start):
            reached += chance
            below[count] *= reached**times
    return end - sum(below)


def _largest_normal(groups: Counter[Count]) -> float:
    """The same over a continuous variable, F(z) = Phi(z) - skew (z^2 - 1) phi(z) / 6 (Edgeworth, first term)."""
    spread = [(mean, sqrt(max(mean * (1 - p), 1e-12)), 1 - 2 * p, times) for (mean, p), times in groups.items()]
    low = max(mean - _REACH * deviation for mean, deviation, _, _ in spread)
    high = max(mean + _REACH * deviation for mean, deviation, _, _ in spread)
    relevant = [count for count in spread if count[0] + _REACH * count[1] > low]
    step = (high - low) / _STEPS
    below = 0.0
    for index in range(_STEPS):
        at, product = low + (index + 0.5) * step, 1.0
        for mean, deviation, lean, times in relevant:
            z = (at - mean) / deviation
            if z < _REACH:
                product *= _below(z, lean / deviation) ** times
        below += product
    return high - step * below


def _below(z: float, skew: float) -> float:
    value = 0.5 * erfc(-z / sqrt(2)) - skew * (z * z - 1) * exp(-z * z / 2) / (6 * sqrt(2 * pi))
    return min(1.0, max(0.0, value))


def expected_excess(mean: float, p: float, limit: float) -> float:
    """Expected part of a count that lies above `limit`: E[max(N - limit, 0)].

    The sum over the binomial; for a large variance the normal curve, sd * (phi(z) - z (1 - Phi(z))) with
    z = (limit - mean) / sd.
    """
    if mean <= 0:
        return 0.0
    variance = mean * (1 - p)
    if variance <= EXACT_VARIANCE:
        start, chances = binomial(mean, p)
        return sum(chance * (count - limit) for count, chance in enumerate(chances, start) if count > limit)
    deviation = sqrt(variance)
    z = (limit - mean) / deviation
    return deviation * (exp(-z * z / 2) / sqrt(2 * pi) - z * 0.5 * erfc(z / sqrt(2)))
