"""A plot of several curves in characters, in logarithms both ways."""

from collections.abc import Callable
from math import exp

WIDTH, HEIGHT = 64, 12
"""Columns and lines."""
MARKS = "abcdefghijklmnopqrstuvwxyz"

Curves = dict[str, list[tuple[float, float]]]
"""Points of each curve by its name, both as logarithms."""


def plot(curves: Curves, labels: tuple[tuple[str, str], str, str], value: Callable[[float], str]) -> list[str]:
    """Lines: the name of what is plotted, the points as letters (`*` where curves meet), the axis, the names.

    `labels`: both ends of the axis, its name, the name of what is plotted, which `value` formats.
    """
    points = [point for curve in curves.values() for point in curve]
    (left, right), (low, high) = ((min(side), max(side)) for side in zip(*points, strict=True))
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    for mark, curve in zip(MARKS, curves.values(), strict=False):
        for across, height in curve:
            line = cells[_place(height, low, high, HEIGHT)]
            at = _place(across, left, right, WIDTH)
            line[at] = mark if line[at] in (" ", mark) else "*"
    edges = {0: value(exp(low)), HEIGHT - 1: value(exp(high))}
    lines = [f"{edges.get(at, ''):>12} │{''.join(cells[at]).rstrip()}" for at in range(HEIGHT - 1, -1, -1)]
    (first, last), across_name, name = labels
    axis = f"{first}{across_name:^{max(0, WIDTH - len(first) - len(last))}}{last}"
    names = [f"{'':>12}  {mark}  {label}" for mark, label in zip(MARKS, curves, strict=False)]
    return [f"{'':>12}  {name}", *lines, f"{'':>12}  {axis}", *names]


def _place(value: float, low: float, high: float, cells: int) -> int:
    return round((value - low) / (high - low) * (cells - 1)) if high > low else 0
