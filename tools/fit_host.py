"""Fit what data/host.json says of the way between device and host: python tools/fit_host.py [--write].

    seconds = device + CPU(few_rows_factor) + visits * visit_seconds + sent bytes / (link * sent_share)

The rows are those of data/measurements/desk.json of which a part lay in host memory; device and CPU have the constants
of data/desk_engines.json, so that tools/fit_desk.py goes before. Visits and sending are those of a backend; a prior
holds backends together (between copies of a stream and fences lie powers of ten, so that visits may differ by much).
The factor is that of all CPUs. Left out are rows that none of these can explain, and said which. Errors are printed
for rows whose source was left out of the fit.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.data_files import read_data
from sparsecalc.decide.desk import as_run, engine_of, steps_of
from sparsecalc.decide.desk_host import PAGING, offload_rows, offload_step
from sparsecalc.decide.host import with_few_rows
from sparsecalc.decide.model_name import load_variant
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.host import host_default
from sparsecalc.estimate.host_times import ON_HOST, SENT, VISITS, sides
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.places import LlamaLayers, places
from sparsecalc.estimate.timing import kernel_time
from sparsecalc.measure.calibrate.constants_fit import Floats, least_error

Row = dict[str, Any]
TARGET = Path(__file__).parent.parent / "data" / "host.json"
START = {"visit_seconds": 6e-5, "sent_share": 0.5}
START_WIDTHS = {"visit_seconds": 1.0, "sent_share": 0.5}
"""Standard deviations of ln(what backends have in common / start)."""
BACKEND_WIDTHS = {"visit_seconds": 1.5, "sent_share": 0.7}
"""The same of a backend's constant / what they have in common."""
BOUNDS = {"visit_seconds": (1e-6, 1e-2), "sent_share": (0.02, 1.0)}
ROWS_WIDTH, ROWS_BOUNDS = 1.0, (0.03, 3.0)
"""Of ln(few_rows_factor)."""
NOISE = 0.2
"""Standard deviation of a row's ln(predicted / measured)."""
SOFT = 2.0
CHUNK = 512
NAMES = tuple(START)
Constants = dict[str, dict[str, float]]
"""Of each backend; the empty name has what they have in common, and the factor of all."""


@dataclass(frozen=True)
class Point:
    """A row as the fit sees it."""

    row: Row
    backend: str
    device_seconds: float
    cpu: DeviceModel
    on_cpu: list[Kernel]
    visits: float
    sent: float
    """Seconds at a share of 1."""

    def seconds(self, constants: Constants) -> float:
        """What the constants say."""
        own, cpu = constants[self.backend], with_few_rows(self.cpu, constants[""]["few_rows_factor"])
        host = sum(float(kernel_time(kernel, cpu).seconds) for kernel in self.on_cpu)
        return self.device_seconds + host + self.visits * own["visit_seconds"] + self.sent / own["sent_share"]

    def error(self, constants: Constants) -> float:
        """ln(predicted / measured)."""
        return float(np.log(self.seconds(constants) / self.row["seconds_per_step"]))


def point_of(row: Row) -> Point:
    """A row's seconds taken apart."""
    step, plan = offload_step(row)
    assert plan.host
    assert plan.host.device
    assert plan.places
    rules, known = plan.host.rules, host_default("few_rows_factor")
    sent = sum(float(time.seconds) for time in step.times if time.kernel.name == SENT)
    visits = plan.places.visits * sum(time.kernel.name == VISITS for time in step.times)
    there = [time for time in step.times if time.kernel.name.endswith(ON_HOST)]
    rest = float(step.seconds) - sent - visits * rules.visit_seconds - sum(float(time.seconds) for time in there)
    return Point(
        row=row,
        backend=engine_of(row).partition(":")[2],
        device_seconds=rest,
        cpu=with_few_rows(plan.host.device, 1 / known),
        on_cpu=[time.kernel for time in there if time.seconds],
        visits=visits,
        sent=sent * rules.sent_share,
    )


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


def constants_of(x: Floats, backends: Sequence[str]) -> Constants:
    """The constants that the vector of a fit stands for: its last one is the factor."""
    values = np.exp(x[:-1]).reshape(len(backends) + 1, len(NAMES))
    found = {
        name: dict(zip(NAMES, each.tolist(), strict=True)) for name, each in zip(("", *backends), values, strict=True)
    }
    found[""]["few_rows_factor"] = float(np.exp(x[-1]))
    return found


def fitted(points: Sequence[Point], backends: Sequence[str]) -> Constants:
    """The constants of every backend, from the points given."""
    count = len(backends) + 1
    center = np.log([START[name] for name in NAMES])

    def errors(x: Floats) -> Floats:
        found = constants_of(x, backends)
        own = [each.error(found) / NOISE for each in points]
        apart = x[:-1].reshape(count, len(NAMES))
        common = (apart[0] - center) / [START_WIDTHS[name] for name in NAMES]
        differ = (apart[1:] - apart[0]) / [BACKEND_WIDTHS[name] for name in NAMES]
        return np.concatenate([np.array(own), common, differ.ravel(), [x[-1] / ROWS_WIDTH]])

    low, high = np.log(np.array([*(BOUNDS[name] for name in NAMES)] * count + [ROWS_BOUNDS])).T
    return constants_of(least_error(errors, np.append(np.tile(center, count), 0.0), (low, high), soft=SOFT), backends)


def stage_factor() -> float:
    """How much longer the busiest card takes of each chunk than its share of the layers: the median over the rows.

    seconds on two cards / on one = h (1 + (n - 1) s f) / n of n chunks; h: that of a prompt of one chunk.
    """
    rows = read_data("measurements/two_cards.json")["rows"]
    alone = {row["model"]: row["one_card"] / row["two_cards"] for row in rows if row["prompt_len"] == CHUNK}
    found = []
    for row in rows:
        count, spec = row["prompt_len"] / CHUNK, load_variant(row["model"], row["weights"]).loaded.spec
        if count > 1:
            share = places(spec, LlamaLayers(cards=2)).busiest_share
            ratio = row["one_card"] / row["two_cards"] / alone[row["model"]]
            found.append((ratio * count - 1) / (count - 1) / share)
    print(f"stage factors: {', '.join(f'{each:.3f}' for each in found)}")
    return float(f"{np.median(found):.3g}")


def report(title: str, points: Sequence[Point], errors: Sequence[float]) -> None:
    """Median and largest error by phase."""
    for phase in ("decode", "prefill"):
        own = [
            abs(np.exp(-error) - 1) for each, error in zip(points, errors, strict=True) if each.row["phase"] == phase
        ]
        print(f"{title} {phase:8} {len(own):3} rows  median {np.median(own):6.1%}  worst {max(own):6.1%}")


def main() -> None:
    """Fit, print, and with --write store."""
    rows = offload_rows()
    apart = {row["id"]: why for row in rows if (why := why_left_out(row))}
    for name, why in apart.items():
        print(f"left out: {name}: {why}")
    points = [point_of(row) for row in rows if row["id"] not in apart]
    backends = sorted({each.backend for each in points})
    found, held_out = fitted(points, backends), []
    for each in points:
        others = [other for other in points if other.row["source"] != each.row["source"]]
        held_out.append(each.error(fitted(others, backends)))
    within = [each.error(found) for each in points]
    for each, own, left in zip(points, within, held_out, strict=True):
        row = each.row
        place = row.get("offload") or f"-ngl {row['n_gpu_layers']}"
        what = f"{row['id']:12} {row['phase']:8} {row['model']:18} {row['gpu']:12} {place:26} {row['published']:8}"
        print(f"{what} {np.exp(-own) - 1:+5.0%} left out {np.exp(-left) - 1:+5.0%}")
    print(rounded(found))
    report("fitted  ", points, within)
    report("left out", points, held_out)
    if "--write" in sys.argv:
        write(rounded(found), {each.row["id"]: error for each, error in zip(points, held_out, strict=True)}, apart)


def rounded(found: Constants) -> Constants:
    """With two significant digits."""
    return {name: {key: float(f"{value:.2g}") for key, value in each.items()} for name, each in found.items()}


def write(found: Constants, held_out: Mapping[str, float], apart: Mapping[str, str]) -> None:
    """Into data/host.json: the constants, errors of rows whose source was left out, and rows that took no part."""
    table = json.loads(TARGET.read_text())
    words = table["backends"]["explained"]
    factor = found[""].pop("few_rows_factor")
    table["backends"] = found | {"source": SOURCE, "explained": words}
    table["few_rows_factor"] = {"value": factor, "source": f"{FACTOR}: {SOURCE}"}
    spread = float(f"{np.median(np.abs(list(held_out.values()))) / 0.6745:.2g}")
    table["host_spread"] = {"value": spread, "source": SPREAD}
    table["stage_factor"] = {"value": stage_factor(), "source": STAGES}
    ratios = {name: round(float(np.exp(error)), 4) for name, error in held_out.items()}
    table["left_out"] = {"comment": LEFT_OUT, "rows": ratios, "not_fitted": dict(apart)}
    TARGET.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


SOURCE = "fitted by tools/fit_host.py to rows of data/measurements/desk.json of which a part lay in host memory"
FACTOR = "factor on half_length of a CPU's products, which says how much slower few rows are than many"
STAGES = (
    "how much longer the busiest of several cards takes of each chunk of a prompt than its share of the layers:"
    " fitted by tools/fit_host.py to data/measurements/two_cards.json"
)
LEFT_OUT = "predicted / measured of each row with its source left out of the fit; rows that took no part, and why"
SPREAD = (
    "standard deviation of ln(predicted / measured) of rows with a part in host memory, each with its source left out"
    " of the fit: median / 0.6745"
)


if __name__ == "__main__":
    main()
