"""The largest whole number that still fits."""

from collections.abc import Callable

from sparsecalc.core.arrays import Number


def largest_that_fits(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `limit` that `fits`, 0 where 1 does not; nothing above a misfit may fit."""
    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= limit and fits(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_within(limit: int, excess: Callable[[int], int], start: int) -> int:
    """The same for what grows in straight pieces: the largest number whose `excess` is not above 0.

    Looks at 1 or `limit`, then where the straight line between the two nearest known numbers crosses zero, first from
    `start`; every fourth look halves the gap, so that no bend costs more than a few dozen. On a straight line: 4 looks.
    """
    start = min(start, limit)
    known = excess(start)
    far = 1 if known > 0 else limit
    if far == start:
        return 0 if known > 0 else start
    (low, below), (high, above) = sorted([(start, known), (far, excess(far))])
    if above <= 0:
        return high
    if below > 0:
        return 0
    look = 0
    while high - low > 1:
        look += 1
        share = -below / (above - below) if look % 4 else 0.5
        at = min(max(low + int((high - low) * share), low + 1), high - 1)
        known = excess(at)
        if known <= 0:
            low, below = at, known
        else:
            high, above = at, known
    return low


def largest_of_each(fits: Callable[[Number], Number], limit: Number) -> Number:
    """For each place of an array the largest number up to `limit` that `fits`, 0 where 1 does not; by halving.

    `fits` takes an array of numbers and returns whether each fits; nothing above a misfit may fit.
    """
    import numpy as np

    low = np.where(fits(limit), limit, 0)
    high = limit + 1
    while (open_ := high - low > 1).any():
        middle = np.where(open_, (low + high) // 2, np.maximum(low, 1))
        held = fits(middle)
        low = np.where(open_ & held, middle, low)
        high = np.where(open_ & ~held, middle, high)
    return low
