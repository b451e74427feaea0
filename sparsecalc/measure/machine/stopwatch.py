"""Time a piece of work often enough to say something: warm-up, raw samples, and what was thrown away.

On a CPU a sample during which the process did not get its processors is rejected (its processor time against its wall
time tells). On a CUDA device the work is captured in a graph and timed with events, so that launches from Python do not
count; where it cannot be captured, it is timed launch by launch.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

FEWEST = 5
"""Samples that are kept in any case."""
BUSY_SHARE = 0.97
"""A sample that got a smaller share of its processors than this was preempted."""
MOST_ATTEMPTS = 4
"""Samples taken at most, in multiples of those asked for."""
FLUSH_IN_CACHES = 3
"""Bytes that are touched to empty the last-level cache, in multiples of its size."""


@dataclass(frozen=True)
class Samples:
    """Seconds of each kept sample, in the order in which they were taken."""

    seconds: list[float]
    rejected: int = 0
    """Samples left out because the process was preempted."""
    method: str = "wall clock"
    """wall clock, cuda graph or cuda eager."""
    kept: list[int] = field(default_factory=list)
    """Places of the kept samples among all that were taken."""

    @property
    def median(self) -> float:
        """The middle sample, in seconds."""
        return quantile(self.seconds, 0.5)

    @property
    def p10(self) -> float:
        """The 10th percentile, in seconds."""
        return quantile(self.seconds, 0.1)

    @property
    def p90(self) -> float:
        """The 90th percentile, in seconds."""
        return quantile(self.seconds, 0.9)

    @property
    def outliers(self) -> list[float]:
        """Samples further above the upper quartile than three times the distance between the quartiles."""
        low, high = quantile(self.seconds, 0.25), quantile(self.seconds, 0.75)
        return [value for value in self.seconds if value > high + 3 * (high - low)]


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie, interpolated between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def measure(
    run: Callable[[], None],
    device: torch.device | str,
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
    min_samples: int = 10,
    budget_seconds: float = 5.0,
    warm_up: int = 2,
    cold: bool = False,
    graph: bool = True,
) -> Samples:
    """Time `run` on `device`: at least `min_samples` times, at least FEWEST times if that would pass the budget.

    `before` and `after` run before and after each sample, outside its time. `cold` empties the last-level cache before
    each sample (on CUDA that is always done, which also hides the launch of the graph). `graph`: capture `run` in a
    CUDA graph; where that fails, or with False, every launch counts.
    """
    device = torch.device(device)
    flush = _flush(device) if cold or device.type == "cuda" else lambda: None

    def prepare() -> None:
        before()
        flush()

    for _ in range(warm_up):
        prepare()
        run()
    if device.type == "cuda":
        return _measure_cuda(run, prepare, after, min_samples, budget_seconds, graph)
    return _measure_wall(run, device, prepare, after, min_samples, budget_seconds)


def _measure_wall(
    run: Callable[[], None],
    device: torch.device,
    prepare: Callable[[], None],
    after: Callable[[], None],
    min_samples: int,
    budget_seconds: float,
) -> Samples:
    taken: list[tuple[float, float]] = []
    end = time.perf_counter() + budget_seconds
    while len(taken) < MOST_ATTEMPTS * min_samples:
        prepare()
        synchronize(device)
        busy, start = time.process_time(), time.perf_counter()
        run()
        synchronize(device)
        seconds = time.perf_counter() - start
        taken.append((seconds, (time.process_time() - busy) / seconds))
        after()
        late = time.perf_counter() - end
        enough = min_samples if late < 0 else FEWEST
        if len(_undisturbed(taken, device)) >= enough or (late > budget_seconds and len(taken) >= FEWEST):
            break
    kept = _undisturbed(taken, device)
    if len(kept) < FEWEST:  # a machine that is always busy: the least disturbed ones
        kept = sorted(sorted(range(len(taken)), key=lambda index: -taken[index][1])[:FEWEST])
    return Samples(seconds=[taken[index][0] for index in kept], rejected=len(taken) - len(kept), kept=kept)


def _undisturbed(taken: list[tuple[float, float]], device: torch.device) -> list[int]:
    """Samples that got their processors: all of one thread, or nearly as much as the best sample got of several."""
    if device.type != "cpu":
        return list(range(len(taken)))
    whole = 1.0 if torch.get_num_threads() == 1 else max(share for _, share in taken)
    return [index for index, (_, share) in enumerate(taken) if share >= BUSY_SHARE * whole]


def _measure_cuda(
    run: Callable[[], None],
    prepare: Callable[[], None],
    after: Callable[[], None],
    min_samples: int,
    budget_seconds: float,
    graph: bool,
) -> Samples:
    replay = capture(run) if graph else None
    begin, finish = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    seconds: list[float] = []
    end = time.perf_counter() + budget_seconds
    while len(seconds) < (min_samples if time.perf_counter() < end else FEWEST):
        prepare()
        begin.record()
        (replay or run)()
        finish.record()
        finish.synchronize()
        seconds.append(begin.elapsed_time(finish) / 1e3)
        after()
    return Samples(seconds=seconds, method="cuda graph" if replay else "cuda eager", kept=list(range(len(seconds))))


def capture(run: Callable[[], None]) -> Callable[[], None] | None:
    """A function that replays `run` as a CUDA graph; None where it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # handles and workspaces are made outside the capture
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            run()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    replay: Callable[[], None] = graph.replay
    return replay


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _flush(device: torch.device) -> Callable[[], None]:
    """A function that touches enough memory to empty the last-level cache."""
    elements = FLUSH_IN_CACHES * last_level_cache_bytes(device) // 4
    buffer = torch.zeros(elements, dtype=torch.int32, device=device)

    def touch() -> None:
        buffer.add_(1)

    return touch


@cache
def last_level_cache_bytes(device: torch.device) -> int:
    """Bytes of the largest cache in front of the memory; 32 MiB where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    found = [_bytes(path.read_text().strip()) for path in sizes]
    return max(found, default=32 * 2**20)


def _bytes(text: str) -> int:
    """`32768K` is 33,554,432."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    return int(text.rstrip("KMG")) * units.get(text[-1:], 1)
