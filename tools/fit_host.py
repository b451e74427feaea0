"""Fit what data/host.json says of the way between device and host: python tools/fit_host.py [--write].

    seconds = rest + visits * visit_seconds + sent bytes / (link * sent_share)

The rows are those of data/measurements/desk.json of which a part lay in host memory; `rest` is what the constants of
data/desk_engines.json say of device and CPU, so that tools/fit_desk.py goes before. Both constants are those of a
backend; a prior holds backends together (between copies of a stream and fences lie powers of ten, so that visits may
differ by much). Left out are rows that no constant of these can explain, and said which. Errors are printed for rows
whose source was left out of the fit.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.decide.desk import as_run, engine_of, steps_of
from sparsecalc.decide.desk_host import PAGING, offload_rows, offload_step
from sparsecalc.estimate.host_times import SENT, VISITS, sides
from sparsecalc.measure.calibrate.constants_fit import Floats, least_error

Row = dict[str, Any]
TARGET = Path(__file__).parent.parent / "data" / "host.json"
START = {"visit_seconds": 6e-5, "sent_share": 0.5}
START_WIDTHS = {"visit_seconds": 1.0, "sent_share": 0.5}
"""Standard deviations of ln(what backends have in common / start)."""
BACKEND_WIDTHS = {"visit_seconds": 1.5, "sent_share": 0.7}
"""The same of a backend's constant / what they have in common."""
BOUNDS = {"visit_seconds": (1e-6, 1e-2), "sent_share": (0.02, 1.0)}
NOISE = 0.2
"""Standard deviation of a row's ln(predicted / measured)."""
SOFT = 2.0
NAMES = tuple(START)


@dataclass(frozen=True)
class Point:
    """A row as the fit sees it."""

    row: Row
    backend: str
    rest: float
    visits: float
    sent: float
    """Seconds at a share of 1."""

    def seconds(self, constants: dict[str, float]) -> float:
        """What the constants say."""
        return self.rest + self.visits * constants["visit_seconds"] + self.sent / constants["sent_share"]


def point_of(row: Row) -> Point:
    """A row's seconds taken apart."""
    step, plan = offload_step(row)
    assert plan.host
    assert plan.places
    rules = plan.host.rules
    parts = {
        name: sum(float(time.seconds) for time in step.times if time.kernel.name == name) for name in (SENT, VISITS)
    }
    steps = sum(time.kernel.name == VISITS for time in step.times)
    visits = steps * plan.places.visits
    rest = float(step.seconds) - parts[SENT] - visits * rules.visit_seconds
    return Point(row, str(row["_backend"]), rest, visits, parts[SENT] * rules.sent_share)


def why_left_out(row: Row) -> str:
    """Why a row takes no part; empty where it does."""
    if PAGING in row.get("note", ""):
        return "its host had too little memory, and how much lay on disk is not told"
    if row["quality"] == "C" and _least_seconds(row) > row["seconds_per_step"]:
        return "unverified, and faster than its host's memory can be read"
    return ""


def _least_seconds(row: Row) -> float:
    """Bytes in host memory that a step reads, over the rate that its data sheet has."""
    _, plan = offload_step(row)
    assert plan.host
    model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
    rows = model.ops(steps_of(row, 1)[-1])
    found = sides([rows], rows, steps_of(row, 1)[-1:], precision, plan)
    return float(found.read_bytes) / plan.host.memory_bytes_per_second if found else 0.0


def constants_of(x: Floats, backends: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of each backend; the empty name has what they have in common."""
    values = np.exp(x).reshape(len(backends) + 1, len(NAMES))
    return {
        name: dict(zip(NAMES, each.tolist(), strict=True)) for name, each in zip(("", *backends), values, strict=True)
    }


def fitted(points: Sequence[Point], backends: Sequence[str]) -> dict[str, dict[str, float]]:
    """The constants of every backend, from the points given."""
    count = len(backends) + 1
    center = np.log([START[name] for name in NAMES])

    def errors(x: Floats) -> Floats:
        found = constants_of(x, backends)
        own = [np.log(each.seconds(found[each.backend]) / each.row["seconds_per_step"]) / NOISE for each in points]
        apart = x.reshape(count, len(NAMES))
        common = (apart[0] - center) / [START_WIDTHS[name] for name in NAMES]
        differ = (apart[1:] - apart[0]) / [BACKEND_WIDTHS[name] for name in NAMES]
        return np.concatenate([np.array(own), common, differ.ravel()])

    low, high = (np.tile(np.log([BOUNDS[name][side] for name in NAMES]), count) for side in (0, 1))
    return constants_of(least_error(errors, np.tile(center, count), (low, high), soft=SOFT), backends)


def report(title: str, points: Sequence[Point], errors: Sequence[float]) -> None:
    """Median and largest error by phase."""
    for phase in ("decode", "prefill"):
        own = [
            abs(np.exp(-error) - 1) for each, error in zip(points, errors, strict=True) if each.row["phase"] == phase
        ]
        print(f"{title} {phase:8} {len(own):3} rows  median {np.median(own):6.1%}  worst {max(own):6.1%}")


def main() -> None:
    rows = [row | {"_backend": backend_of(row)} for row in offload_rows()]
    for row in rows:
        if why := why_left_out(row):
            print(f"left out: {row['id']} ({row['source']}): {why}")
    points = [point_of(row) for row in rows if not why_left_out(row)]
    backends = sorted({each.backend for each in points})
    found = fitted(points, backends)
    held_out = []
    for each in points:
        others = [other for other in points if other.row["source"] != each.row["source"]]
        held_out.append(
            float(np.log(each.seconds(fitted(others, backends)[each.backend]) / each.row["seconds_per_step"]))
        )
    within = [float(np.log(each.seconds(found[each.backend]) / each.row["seconds_per_step"])) for each in points]
    for each, own, left in zip(points, within, held_out, strict=True):
        row = each.row
        place = row.get("offload") or f"-ngl {row['n_gpu_layers']}"
        what = f"{row['id']:12} {row['phase']:8} {row['model']:18} {row['gpu']:12} {place:26} {row['published']:8}"
        print(f"{what} {np.exp(-own) - 1:+5.0%} left out {np.exp(-left) - 1:+5.0%}")
    print({name: {key: float(f"{value:.2g}") for key, value in each.items()} for name, each in found.items()})
    report("fitted  ", points, within)
    report("left out", points, held_out)
    if "--write" in sys.argv:
        write(found, held_out)


def backend_of(row: Row) -> str:
    """The backend that a row's engine takes on its accelerator."""
    return engine_of(row).partition(":")[2]


def write(found: dict[str, dict[str, float]], held_out: Sequence[float]) -> None:
    """Into data/host.json: the constants, and the spread that rows of sources that were left out show."""
    table = json.loads(TARGET.read_text())
    rounded = {name: {key: float(f"{value:.2g}") for key, value in each.items()} for name, each in found.items()}
    words = table["backends"]["explained"]
    source = "fitted by tools/fit_host.py to the rows of data/measurements/desk.json of which a part lay in host memory"
    table["backends"] = rounded | {"source": source, "explained": words}
    spread = float(f"{np.median(np.abs(held_out)) / 0.6745:.2g}")
    table["host_spread"] = {
        "value": spread,
        "source": "standard deviation of ln(predicted / measured) of rows with a part in host memory, each with its"
        " source left out of the fit: median / 0.6745",
    }
    TARGET.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
