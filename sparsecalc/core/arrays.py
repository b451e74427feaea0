"""What a formula needs so that it holds for plain numbers and for numpy arrays alike, without importing numpy."""

from typing import Any


def is_array(value: object) -> bool:
    """Whether `value` is a numpy array."""
    return hasattr(value, "ndim")


def least(first: Any, second: Any) -> Any:
    """The smaller of two numbers, elementwise where one is an array."""
    if is_array(first) or is_array(second):
        import numpy as np

        return np.minimum(first, second)
    return min(first, second)


def most(first: Any, second: Any) -> Any:
    """The larger of two numbers, elementwise where one is an array."""
    if is_array(first) or is_array(second):
        import numpy as np

        return np.maximum(first, second)
    return max(first, second)


def figure(value: Any) -> str:
    """A count as text with thousands separated; arrays have no text."""
    return "n" if is_array(value) else f"{value:,}"
