"""Which experts each rank of expert parallelism holds: in order, in orders that stand for all, or balanced."""

from collections.abc import Sequence
from functools import lru_cache
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil
from random import Random

Arrangement = tuple[tuple[tuple[int, int], ...], ...]
"""For every rank, its experts, each with the number of its copies in all ranks."""

ORDERS = 200
CLASSES = 5
"""Where the order of the experts is not known: random orders that are tried, and classes that stand for them."""


def in_order(order: Sequence[int], ranks: int) -> Arrangement:
    """Rank g holds the experts from g E / G to (g + 1) E / G of `order`, one copy each."""
    ends = [rank * len(order) // ranks for rank in range(ranks + 1)]
    return tuple(tuple((e, 1) for e in order[first:last]) for first, last in pairwise(ends))


@lru_cache(maxsize=256)
def typical_orders(row: tuple[float, ...], ranks: int) -> tuple[Arrangement, ...]:
    """Orders that stand for all: 200 random ones in 5 classes by their largest load; of each, the one nearest its mean.

    The same in every run: of Python's random numbers only `random()` is promised to stay as it is.
    """
    random = Random(0).random
    drawn = []
    for _ in range(ORDERS):
        keys = [random() for _ in row]
        arrangement = in_order(sorted(range(len(row)), key=keys.__getitem__), ranks)
        drawn.append((max(sum(row[e] for e, _ in rank) for rank in arrangement), arrangement))
    drawn.sort()
    size = ORDERS // CLASSES
    classes = [drawn[first : first + size] for first in range(0, ORDERS, size)]
    means = [sum(load for load, _ in members) / size for members in classes]
    return tuple(
        min(members, key=lambda member: abs(member[0] - mean))[1] for members, mean in zip(classes, means, strict=True)
    )


@lru_cache(maxsize=256)
def balance(loads: tuple[float, ...], ranks: int, replicas: int) -> Arrangement:
    """Experts placed as EPLB does: copy the expert with the most load per copy, `replicas` times; then place copies.

    The largest go first, each to the rank with the least load that has room; a rank has room for its even share.
    """
    copies = [1] * len(loads)
    for _ in range(replicas):
        copies[max(range(len(loads)), key=lambda e: loads[e] / copies[e])] += 1
    slots = sorted(((loads[e] / n, e) for e, n in enumerate(copies) for _ in range(n)), reverse=True)
    room = ceil(len(slots) / ranks)
    held: list[list[tuple[int, int]]] = [[] for _ in range(ranks)]
    open_ranks = [(0.0, rank) for rank in range(ranks)]
    for load, e in slots:
        total, rank = heappop(open_ranks)
        held[rank].append((e, copies[e]))
        if len(held[rank]) < room:
            heappush(open_ranks, (total + load, rank))
    return tuple(tuple(rank) for rank in held)
