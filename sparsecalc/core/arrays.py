"""What a formula needs so that it holds for plain numbers and for numpy arrays alike, without importing numpy."""

import sys
from collections.abc import Callable
from math import ceil
from typing import Any, TypeAlias

Number: TypeAlias = Any
"""A plain number, or a numpy array of numbers; arrays broadcast, and a result is an array where an operand is one.

For mypy it is Any: of a union of the two, everything that is made from plain numbers would be one as well, and each
figure of a document would need a cast. What only plain numbers can be is typed int or float.
"""


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array, or a number of one."""
    kind = type(value)
    if kind is float or kind is int:  # most are, and steps ask it thousands of times
        return False
    numpy = sys.modules.get("numpy")  # there is no array where numpy has not been imported
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def least(first: Number, second: Number) -> Number:
    """The smaller of two numbers, elementwise where one is an array."""
    if is_array(first) or is_array(second):
        import numpy as np

        return np.minimum(first, second)
    return min(first, second)


def most(first: Number, second: Number) -> Number:
    """The larger of two numbers, elementwise where one is an array."""
    if is_array(first) or is_array(second):
        import numpy as np

        return np.maximum(first, second)
    return max(first, second)


def up(value: Number) -> Number:
    """The next whole number, elementwise of an array."""
    if is_array(value):
        import numpy as np

        return np.ceil(value)
    return ceil(value)


def each_of(find: Callable[[int], float], at: Number) -> Number:
    """`find` of a whole number; of an array, once for those numbers in it that are equal."""
    if not is_array(at):
        return find(at)
    import numpy as np

    wanted, back = np.unique(at, return_inverse=True)
    return np.array([find(int(each)) for each in wanted], float)[back].reshape(at.shape)


def figure(value: Number) -> str:
    """A count as text with thousands separated; arrays have no text."""
    return "n" if is_array(value) else f"{value:,}"
