"""Fit the engines' profiles in data/engines.json that were measured with fixed batches: python tools/fit_engines.py.

The fit sees the rows of data/measurements/fixed_batch.json with one sequence and a model of at most 9 B parameters;
larger models, mixtures of experts and larger batches are its test. Engines of servers keep what was chosen for them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.decide.published import fits_engines, predict_step, shipped_device, step_rows
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import Engine
from sparsecalc.measure.calibrate.constants_fit import least_error

Row = dict[str, Any]
TARGET = Path(__file__).parent.parent / "data" / "engines.json"
GROUPS: dict[str, list[Row]] = {
    "gpt-fast": [{"arch": ["Ampere"]}],
}
"""Devices that share constants: those whose data sheets count matrix peaks in the same way."""
FREE = ("launch_factor", "bandwidth_factor", "compute_factor", "attention_factor")
LIMITS = np.log([(0.05, 0.5, 0.05, 0.02), (8.0, 1.2, 8.0, 4.0)])


def belongs(row: Row, group: Row) -> bool:
    gpu = load_accelerator(row["gpu"])
    return gpu.id in group.get("accelerators", ()) or gpu.arch.startswith(tuple(group.get("arch", ())))


def errors(rows: list[Row], profile: Engine) -> np.ndarray:
    """ln(predicted / measured)."""
    logs = []
    for row in rows:
        device = shipped_device(row["gpu"], "generic").but(engine=profile)
        logs.append(np.log(predict_step(row, device).seconds / row["seconds_per_step"]))
    return np.array(logs)


def fitted(rows: list[Row], start: Engine, free: tuple[str, ...]) -> Engine:
    """The profile with `free` fitted to the rows; a weak prior holds what they do not tell."""
    places = [FREE.index(name) for name in free]
    low, high = LIMITS[0][places], LIMITS[1][places]
    begin = np.log([getattr(start, name) for name in free])

    def profile(x: np.ndarray) -> Engine:
        return start.but(**dict(zip(free, np.exp(x).tolist(), strict=True)))

    best = least_error(lambda x: errors(rows, profile(x)), begin, (low, high), center=begin, pull=0.1, soft=0.1)
    return profile(best)


def rounded(profile: Engine, names: tuple[str, ...]) -> Row:
    return {name: float(f"{getattr(profile, name):.3g}") for name in names}


def main() -> None:
    table = json.loads(TARGET.read_text())
    for entry in table["engines"]:
        if entry["id"] not in GROUPS:
            continue
        rows = [row for row in step_rows() if row["engine"] == entry["id"]]
        start = Engine(**{key: value for key, value in entry.items() if key not in ("devices", *FREE)})
        entry["devices"], all_tests = [], []
        for group in GROUPS[entry["id"]]:
            own = [row for row in rows if belongs(row, group)]
            train = [row for row in own if fits_engines(row)]
            test = [row for row in own if not fits_engines(row) and row["quality"] == "A"]
            free = FREE if any(row["phase"] == "prefill" for row in train) else FREE[:2]
            profile = fitted(train, start, free)
            entry["devices"].append({**group, **rounded(profile, free)})
            print(entry["id"], group, rounded(profile, free))
            for phase in ("decode", "prefill"):
                parts = [[row for row in some if row["phase"] == phase] for some in (train, test)]
                text = [
                    f"{np.median(abs(np.exp(errors(some, profile)) - 1)) * 100:5.1f} ({len(some)})" if some else "-"
                    for some in parts
                ]
                print("   ", phase, "fitted", text[0], "held out", text[1])
            all_tests += [(row["phase"], error) for row, error in zip(test, errors(test, profile), strict=True)]
        for phase in ("decode", "prefill"):
            percents = [abs(np.exp(error) - 1) * 100 for name, error in all_tests if name == phase]
            if percents:
                print(entry["id"], phase, f"held out: median {np.median(percents):.1f} of {len(percents)}")
    if "--write" in sys.argv:
        TARGET.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
