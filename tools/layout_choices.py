"""How often the time model chooses the layout that was measured best: `python tools/layout_choices.py`.

Of the shared serving runs (data/measurements/serving.json), those of one model, checkpoint, accelerator, engine and
load in several layouts make a choice. The model chooses the layout that it predicts to be best; it is right where that
one's measured figure is the best, or within 10 % of it. Three questions: which layout is the fastest for a user (TPOT),
which gives the most tokens per device (TPOT x devices), and which of those on equally many devices is the fastest.
Predictions are those of the closed formula with the shipped constants, which were fitted to these rows: of the rows
themselves, not of the choice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from statistics import median
from typing import Any, NamedTuple

from sparsecalc.decide.published import is_measure, serving_checks, serving_rows

NEAR = 1.1
"""What is within 10 % of the best."""
LOAD = ("model", "dtype", "checkpoint", "kv_cache", "gpu", "engine", "prompt_len", "output_len", "concurrency")
LAYOUT = ("tp", "pp", "dp", "ep")
STACK = ("model", "gpu", "engine")

Layout = tuple[int, ...]
Times = tuple[float, float]
"""Measured and predicted seconds per token."""


class Choice(NamedTuple):
    """One load in several layouts: what was chosen, how much worse it is than the best, and how many are near it."""

    stack: tuple[str, ...]
    layouts: int
    chosen: Layout
    best: Layout
    loss: float
    """Measured figure of the chosen one over the best one's."""
    near_share: float
    """Share of the layouts that are within 10 % of the best: what a blind choice reaches."""

    @property
    def is_right(self) -> bool:
        """Whether the chosen one is the best or within 10 % of it."""
        return self.loss <= NEAR


def layout_of(row: dict[str, Any]) -> Layout:
    """tp, pp, dp, ep of a run."""
    return tuple(row.get(name, 1) for name in LAYOUT)


def devices(layout: Layout) -> int:
    """Devices of a layout."""
    tp, pp, dp, _ = layout
    return tp * pp * dp


@cache
def loads() -> dict[tuple[Any, ...], dict[Layout, Times]]:
    """Layouts of each load with their times; of several runs in one layout the median."""
    rows = [row for row in serving_rows() if is_measure(row)]
    runs: dict[tuple[Any, ...], dict[Layout, list[Times]]] = defaultdict(lambda: defaultdict(list))
    for row, check in zip(rows, serving_checks(rows), strict=True):
        key = tuple(row.get(name) for name in LOAD)
        runs[key][layout_of(row)].append((check.measured_seconds, check.predicted_seconds))
    return {
        load: {layout: (median(m for m, _ in times), median(p for _, p in times)) for layout, times in each.items()}
        for load, each in runs.items()
    }


def choices(cost: Callable[[Layout, float], float], *, equal_devices: bool = False) -> Iterator[Choice]:
    """Every choice by a cost of a layout and its seconds per token; `equal_devices`: among as many devices."""
    for load, layouts in loads().items():
        stack = tuple(value for name, value in zip(LOAD, load, strict=True) if name in STACK)
        groups: dict[int, dict[Layout, Times]] = defaultdict(dict)
        for layout, times in layouts.items():
            groups[devices(layout) if equal_devices else 0][layout] = times
        for group in groups.values():
            if len(group) > 1:
                yield _choice(stack, group, cost)


def _choice(stack: tuple[str, ...], group: dict[Layout, Times], cost: Callable[[Layout, float], float]) -> Choice:
    measured = {layout: cost(layout, times[0]) for layout, times in group.items()}
    chosen = min(group, key=lambda layout: cost(layout, group[layout][1]))
    best = min(measured, key=lambda layout: measured[layout])
    near = sum(value <= NEAR * measured[best] for value in measured.values())
    return Choice(stack, len(group), chosen, best, measured[chosen] / measured[best], near / len(group))


QUESTIONS: dict[str, tuple[Callable[[Layout, float], float], bool]] = {
    "fastest for a user": (lambda _, tpot: tpot, False),
    "most tokens per device": (lambda layout, tpot: tpot * devices(layout), False),
    "fastest on equally many devices": (lambda _, tpot: tpot, True),
}
"""The cost that each question minimizes, and whether only layouts on equally many devices compete."""


def share_right(found: list[Choice]) -> float:
    """Share of the choices that are right."""
    return sum(one.is_right for one in found) / len(found)


def main() -> None:
    """Print a table for each question: by stack, choices, right ones, what a blind choice reaches, the worst loss."""
    for question, (cost, equal) in QUESTIONS.items():
        found = list(choices(cost, equal_devices=equal))
        print(f"\n{question}: {share_right(found):.1%} of {len(found)} choices within 10 % of the measured best")
        blind = sum(one.near_share for one in found) / len(found)
        print(f"  (choosing blindly: {blind:.1%})")
        stacks: dict[tuple[str, ...], list[Choice]] = defaultdict(list)
        for one in found:
            stacks[one.stack].append(one)
        for stack, own in sorted(stacks.items()):
            worst = max(own, key=lambda one: one.loss)
            print(
                f"  {', '.join(stack):50s} {len(own):4d} choices, {share_right(own):7.1%} right,"
                f" worst {worst.loss:.2f}x ({worst.chosen} for {worst.best})"
            )


if __name__ == "__main__":
    main()
