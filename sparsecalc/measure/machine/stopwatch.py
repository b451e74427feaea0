"""Repeated timing of a piece of work: warm-up, raw samples, and which of them are rejected.

On a CPU a sample during which the process did not get its processors is rejected (its processor time against its wall
time tells). On a CUDA device the work is captured in a graph and timed with events, so that launches from Python do not
count; where it cannot be captured, it is timed launch by launch.
"""

import time
from collections.abc import Callable

import torch

from sparsecalc.measure.machine.device import last_level_cache_bytes, synchronize
from sparsecalc.measure.machine.samples import Samples

FEWEST = 5
"""Samples that are kept in any case."""
BUSY_SHARE = 0.97
"""A sample that got a smaller share of its processors than this was preempted."""
MOST_ATTEMPTS = 4
"""Samples taken at most, in multiples of those asked for."""
FLUSH_IN_CACHES = 3
"""Bytes that are touched to empty the last-level cache, in multiples of its size."""


def take_samples(
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
    threads = torch.get_num_threads() if device.type == "cpu" else None
    seconds: list[float] = []
    shares: list[float] = []
    end = time.perf_counter() + budget_seconds
    while len(seconds) < MOST_ATTEMPTS * min_samples:
        prepare()
        synchronize(device)
        busy, start = time.process_time(), time.perf_counter()
        run()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
        shares.append((time.process_time() - busy) / seconds[-1])
        after()
        late = time.perf_counter() - end
        enough = min_samples if late < 0 else FEWEST
        if len(undisturbed(shares, threads)) >= enough or (late > budget_seconds and len(seconds) >= FEWEST):
            break
    kept = kept_samples(shares, threads)
    return Samples([seconds[index] for index in kept], rejected=len(seconds) - len(kept), kept=kept)


def kept_samples(shares: list[float], threads: int | None) -> list[int]:
    """Places of the undisturbed samples; on a machine that is always busy, of the FEWEST least disturbed ones."""
    kept = undisturbed(shares, threads)
    if len(kept) >= FEWEST:
        return kept
    return sorted(sorted(range(len(shares)), key=lambda index: -shares[index])[:FEWEST])


def undisturbed(shares: list[float], threads: int | None) -> list[int]:
    """Places of the samples that got their processors, by the `shares` of processor time in wall time.

    One thread gets all of one processor; of several threads, a sample must get nearly as much as the best one got.
    None: another device than the CPU works, so that shares say nothing and every sample counts.
    """
    if threads is None:
        return list(range(len(shares)))
    whole = 1.0 if threads == 1 else max(shares)
    return [index for index, share in enumerate(shares) if share >= BUSY_SHARE * whole]


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


def _flush(device: torch.device) -> Callable[[], None]:
    """A function that touches enough memory to empty the last-level cache."""
    elements = FLUSH_IN_CACHES * last_level_cache_bytes(device) // 4
    buffer = torch.zeros(elements, dtype=torch.int32, device=device)

    def touch() -> None:
        buffer.add_(1)

    return touch
