"""What a micro-benchmark is, how it is run, and the row of shapes, bytes and seconds that it gives.

A benchmark goes round copies of its operand whose sum is more than three times the last-level cache, so that every
call finds its weights or its KV cache in memory, as a layer of a model does. On a GPU one round is one CUDA graph; the
row says whether it was (`method`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import torch

from sparsecalc.measure.machine.device import last_level_cache_bytes
from sparsecalc.measure.machine.samples import quantile
from sparsecalc.measure.machine.stopwatch import take_samples

COLD = 3
"""The copies of an operand together are more than this many times the last-level cache."""
MOST_COPIES = 256


@dataclass(frozen=True)
class Work:
    """What a benchmark does on one device."""

    run: Callable[[], Any]
    """Does the operation `repeats` times."""
    repeats: int = 1
    more: dict[str, Any] = field(default_factory=dict)
    """Of the row, what is known only once the benchmark is built, such as the experts that are touched."""
    graph: bool = True
    """False where it cannot be captured, or where launches one by one are what is asked for."""
    cold: bool = False
    """Whether all caches are emptied before every run."""
    marked: Callable[[], float] | None = None
    """Seconds of the last run between marks of its own; they count instead of the whole run's."""
    outside: bool = False
    """Whether what lies outside the marks counts."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: the row's shapes, and how it is built on a device."""

    row: dict[str, Any]
    build: Callable[[torch.device], Work]

    @property
    def name(self) -> str:
        """`gemm m=64 n=4096 k=4096 dtype=bf16`, for progress and messages."""
        return " ".join([str(self.row["op"]), *(f"{key}={value}" for key, value in self.row.items() if key != "op")])

    def is_row(self, row: dict[str, Any]) -> bool:
        """Whether `row` is this benchmark's result."""
        return all(row.get(key) == value for key, value in self.row.items())


def run_benchmark(benchmark: Benchmark, device: torch.device, budget_seconds: float) -> dict[str, Any]:
    """Its row: shapes, `seconds` of one operation (median), `samples`, `rejected`, `repeats`, `method`."""
    with torch.inference_mode():
        work = benchmark.build(device)
        marked = work.marked or (lambda: 0.0)
        inside: list[float] = []
        taken = take_samples(
            work.run,
            device,
            after=lambda: inside.append(marked()),
            budget_seconds=budget_seconds,
            cold=work.cold,
            graph=work.graph,
        )
    samples = counted_seconds(work, taken.seconds, [inside[index] for index in taken.kept])
    return {
        **benchmark.row,
        **work.more,
        "seconds": quantile(samples, 0.5),
        "samples": samples,
        "rejected": taken.rejected,
        "repeats": work.repeats,
        "method": taken.method,
    }


def counted_seconds(work: Work, whole: list[float], inside: list[float]) -> list[float]:
    """Of each sample what counts, from seconds of the whole run and between its marks: see `Work`."""
    if work.marked and not work.outside:
        return inside
    return [(seconds - part) / work.repeats for seconds, part in zip(whole, inside, strict=True)]


def each(operation: Callable[..., Any], operands: Sequence[tuple[Any, ...]], **more: Any) -> Work:
    """The operation on one operand after the other; results are dropped at once, as a model drops them."""

    def run() -> None:
        for operand in operands:
            operation(*operand)

    return Work(run, len(operands), **more)


def copies_for(nbytes: int, device: torch.device) -> int:
    """How many copies of an operand of `nbytes` are more than COLD times the last-level cache."""
    return min(MOST_COPIES, ceil(COLD * last_level_cache_bytes(device) / nbytes) + 1)
