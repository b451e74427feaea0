"""What no other one beats: Pareto fronts of several figures."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def on_front(items: Sequence[Item], costs: Callable[[Item], tuple[float, ...]]) -> list[Item]:
    """The items that no other one beats, in their order: none is as good in every cost and better in one.

    costs: the smaller the better. Of equal items the first stays.
    """
    found: list[Item] = []
    kept: list[tuple[float, ...]] = []
    known = [(costs(item), place) for place, item in enumerate(items)]
    for mine, place in sorted(known):  # whoever beats an item comes before it
        if not any(all(one <= own for one, own in zip(other, mine, strict=True)) for other in kept):
            kept.append(mine)
            found.append(items[place])
    places = {id(item): place for place, item in enumerate(items)}
    return sorted(found, key=lambda item: places[id(item)])
