"""Predictions per second of processor time: a sweep over batch, context, number of GPUs and format, in one thread.

python bench/sweep.py [--write]   (the goal is at least 10^6 points per second, and 1e-9 from the scalar path)
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from pathlib import Path
from random import Random
from typing import Any

from sparsecalc.core.workload import Workload
from sparsecalc.decide.placement import placement_for
from sparsecalc.decide.question import Parallelism
from sparsecalc.decide.step_grid import StepGrid, step_grid
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model

MODELS = ("mixtral-8x7b", "deepseek-v3")
GRID: dict[str, Any] = {
    "batch_sizes": range(1, 257),
    "context_lens": range(128, 256 * 128 + 1, 128),
    "gpus": ("h100-sxm",),
    "num_gpus": (1, 2, 4, 8),
    "dtypes": ("bf16", "fp8", "int8", "int4"),
}
RUNS = 5
CHECKED = 200


def scalar(swept: StepGrid, place: tuple[int, ...]) -> float:
    """Seconds of one point by plain numbers."""
    gpu, count, dtype, batch, context = place
    spec, device = load_model(swept.model).spec, device_model(load_accelerator(swept.gpus[gpu]))
    work = Workload.decode if swept.phase == "decode" else Workload.prefill
    return float(
        step_time(
            spec,
            work(int(swept.context_lens[context]), int(swept.batch_sizes[batch])),
            precision_for(spec, swept.dtypes[dtype]),
            device,
            placement_for(spec, Parallelism(num_gpus=swept.num_gpus[count]), device.domain_size),
        ).seconds
    )


def largest_difference(swept: StepGrid) -> float:
    """Largest relative difference of random points from the scalar path."""
    random = Random(0)
    places = [tuple(random.randrange(size) for size in swept.seconds.shape) for _ in range(CHECKED)]
    return max(abs(swept.seconds[place] / scalar(swept, place) - 1) for place in places)


def scalar_seconds(name: str) -> float:
    """Median processor seconds of one call of `step_time` with plain numbers."""
    spec, device = load_model(name).spec, device_model(load_accelerator("h100-sxm"))
    precision, samples = precision_for(spec, "fp8"), []
    for batch in range(1, 201):
        start = time.process_time()
        step_time(spec, Workload.decode(4096, batch), precision, device)
        samples.append(time.process_time() - start)
    return statistics.median(samples)


def timed(name: str, phase: Any) -> dict[str, Any]:
    samples = []
    for _ in range(RUNS):
        start = time.process_time()
        swept = step_grid(name, phase=phase, **GRID)
        samples.append(time.process_time() - start)
    return {
        "points": swept.seconds.size,
        "samples_processor_seconds": samples,
        "points_per_second": swept.seconds.size / statistics.median(samples),
        "largest_relative_difference": largest_difference(swept),
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="write bench/results/sweep-<date>.json")
    asked = parser.parse_args()
    result = {
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "grid": {key: str(values) for key, values in GRID.items()},
        "sweeps": {f"{name} {phase}": timed(name, phase) for name in MODELS for phase in ("decode", "prefill")},
        "scalar_call_seconds": {name: scalar_seconds(name) for name in MODELS},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if asked.write:
        path = Path(__file__).parent / "results" / f"sweep-{datetime.datetime.now(tz=datetime.UTC).date()}.json"
        path.write_text(text + "\n")


if __name__ == "__main__":
    main()
