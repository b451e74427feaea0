"""Lists of numbers as they are typed: `1,8,64`, `4k,128k,1M`, `1:1024:x2`, `0:64:+8`."""

import re
from collections.abc import Sequence
from math import ceil, floor

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief

UNITS = {"k": 1024, "m": 1024**2}
"""What a letter behind a number multiplies it by."""
MOST_VALUES = 10**6
"""Values of one list."""
_STEPS = re.compile(r"([^:]+):([^:]+):([x×*+])([^:]+)")


def number(text: str) -> float:
    """`8`, `1.5`, `128k` (x 1024), `1M` (x 1024^2). Raises ValueError where it is none."""
    word = text.strip().lower()
    unit = UNITS.get(word[-1:], 1)
    return float(word[:-1] if unit > 1 else word) * unit


def whole(text: str | int) -> int:
    """A number that is whole, as text or itself: tokens, sequences, devices. Raises InputError where it is none."""
    try:
        value = number(str(text))
    except ValueError as error:
        raise InputError(f"{brief(text)} is no number", hint="A whole number: 4096, 128k (x 1024), 1M") from error
    if not value.is_integer() or abs(value) > 2**53:
        raise InputError(f"{brief(text)} is not whole", hint="A whole number: 4096, 128k (x 1024), 1M")
    return int(value)


def whole_numbers(text: str, name: str) -> Sequence[int]:
    """Whole numbers of a list; `a:b:xn` multiplies from a to b, `a:b:+n` adds, both ends among them.

    Raises InputError for a list that is empty, malformed or longer than `MOST_VALUES`.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"{name} has an empty value: {brief(text)}", hint="A list: 1,8,64 or 1:1024:x2")
    lists = [_steps(part, name) if ":" in part else [whole(part)] for part in parts]
    if sum(map(len, lists)) > MOST_VALUES:
        raise InputError(f"{name} has more than {MOST_VALUES:,} values", hint="Take larger steps: 1:1024:x2")
    return lists[0] if len(lists) == 1 else list(dict.fromkeys(value for each in lists for value in each))


def _steps(text: str, name: str) -> Sequence[int]:
    """The values of `1:1024:x2` or `0:64:+8`."""
    found = _STEPS.fullmatch(text.lower())
    if not found:
        raise InputError(f"{name} is {brief(text)}", hint="Steps are 1:1024:x2 (times 2) or 128:4096:+128")
    low, high = whole(found[1]), whole(found[2])
    if high < low:
        raise InputError(f"{name} is empty: {brief(text)}", hint="The first number is the smaller one: 1:1024:x2")
    if found[3] == "+":
        step = whole(found[4])
        if step < 1:
            raise InputError(f"{name} has a step of {step}", hint="It must be 1 or more")
        return range(low, high + 1, step)
    return _powers(low, high, found[4], name)


def _powers(low: int, high: int, text: str, name: str) -> list[int]:
    """`low` times the powers of a factor, as far as `high`, rounded to whole numbers."""
    try:
        factor = number(text)
    except ValueError:
        factor = 0.0
    if not 1.001 <= factor < float("inf") or low < 1:
        raise InputError(f"{name} is {low}:{high}:x{text}", hint="It begins at 1 or more, and its factor is above 1")
    values, value = [low], float(low)
    while (value := value * factor) <= high * (1 + 1e-12):
        values.append(floor(value + 0.5) if value < 2**52 else ceil(value))
    return list(dict.fromkeys(values))
