"""Where a function changes sign: every place that a grid and its refinement can see."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from math import sqrt

SAME = 1e-9
"""Neighbours whose values differ by a smaller share make no minimum: a curve that is flat has none."""
Middle = Callable[[float, float], float | None]
"""A point between two others; None where there is none to be had any more (neighbouring integers, close enough)."""


def middle_of_integers(low: float, high: float) -> float | None:
    """The integer nearest the geometric mean, strictly between the two; None for neighbours."""
    if high - low <= 1:
        return None
    return min(max(round(sqrt(max(low, 0.5) * high)), int(low) + 1), int(high) - 1)


def middle_within(resolution: float) -> Middle:
    """The mean of two points, down to a distance of `resolution`."""
    return lambda low, high: (low + high) / 2 if high - low > resolution else None


def sign_changes(value: Callable[[float], float], grid: Iterable[float], middle: Middle) -> list[tuple[float, float]]:
    """Pairs of points, as close as `middle` allows, between which `value` changes its sign; in order.

    Neighbours in the grid with unlike signs are bisected. Where |value| has a minimum between like signs, the minimum
    is narrowed down first, so that a curve which dips through zero and back inside one cell is seen. Points where
    `value` is zero count for neither side. What does not reach the grid as a sign or as a minimum stays unseen.
    """
    known = {x: value(x) for x in sorted(set(grid))}
    places = list(known)
    for index in range(1, len(places) - 1):
        _narrow(known, places[index - 1 : index + 2], value, middle)
    signed = [x for x in sorted(known) if known[x]]
    return [
        _bisected(known, low, high, value, middle) for low, high in pairwise(signed) if known[low] * known[high] < 0
    ]


def _narrow(known: dict[float, float], places: list[float], value: Callable[[float], float], middle: Middle) -> None:
    """Look for the other sign around a minimum of |value|: halve both sides, keep the lowest point in the centre."""
    low, here, high = places
    while known[here] and all(known[x] / known[here] > 1 + SAME for x in (low, high)):
        inner = [x for x in (middle(low, here), middle(here, high)) if x is not None]
        if not inner:
            return
        known.update({x: value(x) for x in inner if x not in known})
        if any(known[x] * known[here] <= 0 for x in inner):
            return
        around = sorted({low, here, high, *inner})
        place = around.index(min([*inner, here], key=lambda x: abs(known[x])))
        low, here, high = around[place - 1 : place + 2]


def _bisected(
    known: dict[float, float], low: float, high: float, value: Callable[[float], float], middle: Middle
) -> tuple[float, float]:
    while (between := middle(low, high)) is not None:
        known[between] = value(between)
        low, high = (between, high) if known[between] * known[low] > 0 else (low, between)
    return low, high
