"""Seconds of replays in one process: 10,000 requests, and 100 rates of them; as shares of the least that Python needs.

python bench/replay.py   (the goals on one core: 2 s, 60 s for all rates; the floor: a loop of as many heap events)
"""

import heapq
import json
import platform
import time

from sparsecalc.api import simulate

REQUESTS, RATES = 10_000, 100
ON = {"gpu": "h100-sxm", "engine": "vllm"}
LENGTHS = {"prompt_len": "1024", "output_len": "256", "requests": REQUESTS}


def seconds_of(rates: str) -> float:
    start = time.process_time()
    simulate(["llama-3.1-8b"], {"rate": rates, **LENGTHS}, **ON)
    return time.process_time() - start


def floor_seconds() -> float:
    """A push and a pop of a heap for each of three events per request."""
    start, heap = time.process_time(), [(0.0, 0)]
    for event in range(3 * REQUESTS):
        at, _ = heapq.heappop(heap)
        heapq.heappush(heap, (at + 1e-3, event))
    return time.process_time() - start


def main() -> None:
    one, floor = seconds_of("20"), floor_seconds()
    every = seconds_of(",".join(f"{0.4 * number:g}" for number in range(1, RATES + 1)))
    result = {
        "python": platform.python_version(),
        "requests": REQUESTS,
        "one_rate_seconds": one,
        "rates": RATES,
        "all_rates_seconds": every,
        "one_rate_over_heap_loop": one / floor,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
