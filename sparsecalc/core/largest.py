"""The largest whole number that still fits."""

from collections.abc import Callable


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
    known = {start: excess(start)}
    far = 1 if known[start] > 0 else limit
    known.setdefault(far, 0 if far == start else excess(far))
    low, high = min(start, far), max(start, far)
    if known[high] <= 0:
        return high
    if known[low] > 0:
        return 0
    look = 0
    while high - low > 1:
        look += 1
        share = -known[low] / (known[high] - known[low]) if look % 4 else 0.5
        at = min(max(low + int((high - low) * share), low + 1), high - 1)
        known[at] = excess(at)
        low, high = (at, high) if known[at] <= 0 else (low, at)
    return low
