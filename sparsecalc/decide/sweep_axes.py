"""What a sweep varies: the axes, their values as they are typed, and the points that they make."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_lists import whole_numbers
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.decide.engine_words import SPELLINGS
from sparsecalc.decide.lists_of_words import formats, words
from sparsecalc.decide.question import positive
from sparsecalc.device.sheets import all_accelerators

MOST_POINTS = 10**8
"""Points of one sweep."""
NUMBERS = ("num_gpus", "tp", "pp", "dp", "ep", "prompt_len", "output_len", "batch_size", "context_len")
AXES = ("gpu", "num_gpus", "tp", "pp", "dp", "ep", "engine", "dtype", "kv_cache_dtype", "routing", *NUMBERS[5:])
"""Names of axes as `ask` has them, from that which changes slowest to that which changes fastest."""
INNER = ("batch_size", "context_len")
"""Axes that are computed at once."""
SHORT = {"batch": "batch_size", "concurrency": "batch_size", "context": "context_len"}
"""Other names of axes."""


class Axes(Frozen):
    """Values of each axis, in the order of `AXES`; all combinations are the points."""

    values: dict[str, Sequence[Any]]

    @property
    def size(self) -> int:
        """Points."""
        return prod(map(len, self.values.values()))

    def outer(self) -> Iterator[dict[str, Any]]:
        """The options of each layout and format, in order: of all axes but batch size and context."""
        names = [name for name in self.values if name not in INNER]
        return (dict(zip(names, each, strict=True)) for each in product(*(self.values[name] for name in names)))

    def varied(self) -> dict[str, list[Any]]:
        """The values of each axis that has several; of very many the first and the last ones."""
        return {name: _some(values) for name, values in self.values.items() if len(values) > 1}


def _some(values: Sequence[Any]) -> list[Any]:
    return list(values) if len(values) <= 2 * SHOWN else [*values[:SHOWN], "...", *values[-SHOWN:]]


SHOWN = 16
"""Values that are listed of either end of a long axis."""


def axes_of(varied: Iterable[tuple[str, Any]]) -> Axes:
    """The axes by name, each as it is typed (`1:1024:x2`), or as a list; one that is named again gets more values.

    Raises InputError for an unknown or empty axis, and more than `MOST_POINTS` points.
    """
    found: dict[str, Sequence[Any]] = {}
    for name, typed in varied:
        axis = axis_name(name)
        more = _values(axis, name, typed)
        found[axis] = list(dict.fromkeys([*found[axis], *more])) if axis in found else more
    axes = Axes(values={name: found[name] for name in AXES if name in found})
    if axes.size > MOST_POINTS:
        raise InputError(f"the sweep has {axes.size:,} points", hint=f"At most {MOST_POINTS:,}: take larger steps")
    return axes


def axis_name(name: str) -> str:
    """The axis as `ask` names it. Raises InputError for one that is unknown."""
    wanted = name.strip().lower().replace("-", "_")
    wanted = SHORT.get(wanted, SPELLINGS.get(wanted, wanted))
    if wanted not in AXES:
        known = [*(short for short in SHORT if short != "concurrency"), *(each for each in AXES if "_len" not in each)]
        text = f"unknown axis {brief(name)}"
        raise InputError(text, hint=f"Axes: {', '.join(known)}, prompt_len, output_len{did_you_mean(wanted, AXES)}")
    return wanted


def _values(axis: str, name: str, typed: Any) -> Sequence[Any]:
    """The values of one axis, checked as far as they are numbers."""
    if isinstance(typed, str):
        if not typed.strip():
            raise InputError(f"axis {name} is empty", hint="Name its values: batch=1,8,64 or batch=1:1024:x2")
        if axis in NUMBERS:
            values: Sequence[Any] = whole_numbers(typed, name)
        elif axis == "gpu":
            values = all_accelerators() if typed.strip().lower() == "all" else words(typed, name)
        else:
            values = formats(typed, name) if axis.endswith("dtype") else words(typed, name)
    else:
        values = list(typed) if isinstance(typed, Sequence) else [typed]
        if not values:
            raise InputError(f"axis {name} is empty", hint="Name its values: [1, 8, 64]")
    if axis in NUMBERS:
        positive(name, *({min(values), max(values)} if all(isinstance(each, int) for each in values) else values))
    return values


def shard_of(text: str | None) -> tuple[int, int]:
    """`i/n`: the points whose number is i modulo n; i from 0 to n - 1, or from 1 to n, which is the same as 0.

    Raises InputError where it is no such part.
    """
    if text is None:
        return 0, 1
    first, slash, count = text.partition("/")
    if not (slash and first.strip().isdecimal() and count.strip().isdecimal()):
        raise InputError(f"--shard is {brief(text)}", hint="A part of how many: 0/8 to 7/8")
    part, parts = int(first), int(count)
    if not 0 <= part <= parts or parts < 1 or parts > MOST_POINTS:
        raise InputError(
            f"--shard is {brief(text)}", hint=f"It is 0/n to n/n (n the same as 0), n up to {MOST_POINTS:,}"
        )
    return part % parts, parts


def pieces(rows: int, columns: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a grid of at most `most` points in order: whole rows where they are short enough."""
    wide = min(columns, most)
    high = max(1, most // max(wide, 1))
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(top, min(top + high, rows)), slice(left, min(left + wide, columns))
