"""Start-up of `sparsecalc compare --json` as a multiple of importing typer and pydantic: alternating runs, medians.

python bench/startup.py [--runs 15]   (the goal is at most 1.6)
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "compare": [str(Path(sys.executable).parent / "sparsecalc"), "compare", "mixtral-8x7b", "llama-70b", "--json"],
    "floor": [sys.executable, "-c", "import typer, pydantic; pydantic.BaseModel"],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(samples[1:]) for name, samples in seconds.items()}
    result = {
        "python": platform.python_version(),
        "runs": runs,
        "median_seconds": medians,
        "ratio": medians["compare"] / medians["floor"],
        "samples_seconds": seconds,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
