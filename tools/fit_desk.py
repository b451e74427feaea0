"""Fit llama.cpp and its like in data/desk_engines.json: python tools/fit_desk.py [--write] [--rows] [GROUP...].

The rows are those of data/measurements/desk.json that lie on one device, and those of fixed_batch.json. Each backend
has one set of constants; families of devices differ from it as far as their rows insist (a prior holds them together),
so that a device of which nothing was measured has the constants of its backend. Bands come from the errors on stacks
left out: data/measurements/desk_left_out.json.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from desk_fit import FAMILIES, FREE, OLD, Fit, program_of, stack_of

from sparsecalc.decide.desk import desk_rows, engine_of, kind_of, on_device
from sparsecalc.measure.calibrate.constants_fit import Floats

Row = dict[str, Any]
DATA = Path(__file__).parent.parent / "data"
TARGET, LEFT_OUT = DATA / "desk_engines.json", DATA / "measurements" / "desk_left_out.json"
BASES = {"llama.cpp:rocm": "llama.cpp:cuda", "llama.cpp:vulkan": "llama.cpp:cuda"}
"""Backends whose constants start at those of another."""
UNMEASURED = {"llama.cpp:sycl": "llama.cpp:vulkan"}
"""Backends without rows, and whose constants they have."""
SOURCE = (
    "fitted by tools/fit_desk.py to data/measurements/desk.json and fixed_batch.json; errors on stacks left out:"
    " docs/desk.md"
)
LEFT_OUT_COMMENT = "predicted / measured of each row with its stack left out of the fit"
BAND = 1.2816
FOLDS = 5
FEW, FEW_STACKS = 12, 30
"""So many rows of all backends weigh beside a backend's own in its bands."""


def groups_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the engine and backend whose kernels they ran."""
    found: dict[str, list[Row]] = {group: [] for group in FAMILIES}
    for row in rows:
        group = (
            f"{'mlx' if row['engine'] == 'mlx' else 'llama.cpp'}:{engine_of(row).partition('@')[0].partition(':')[2]}"
        )
        if row["engine"] in ("llama.cpp", "ollama", "ik_llama.cpp", "mlx"):
            found[group].append(row)
    return found


def left_out_errors(fit: Fit, x: Floats) -> Floats:
    """ln(predicted / measured) of each row with its stack left out."""
    errors, stacks = np.zeros(len(fit.rows)), [stack_of(row) for row in fit.rows]
    for stack in sorted(set(stacks)):
        out = np.array([float(other == stack) for other in stacks])
        errors += out * fit.errors(fit.solve(out, x))
    return errors


def fold_errors(fit: Fit, x: Floats) -> Floats:
    """ln(predicted / measured) of each row with its model left out on its stack: a new model on a measured device."""
    folds = np.array([crc32(repr((stack_of(row), row["model"], row["weights"])).encode()) % FOLDS for row in fit.rows])
    errors = np.zeros(len(fit.rows))
    for fold in range(FOLDS):
        out = (folds == fold).astype(float)
        errors += out * fit.errors(fit.solve(out, x))
    return errors


def report(rows: Sequence[Row], errors: Sequence[float], title: str) -> None:
    for phase in ("decode", "prefill"):
        for kind in ("dense", "moe"):
            own = [
                abs(np.exp(error) - 1)
                for row, error in zip(rows, errors, strict=True)
                if (row["phase"], kind_of(row)) == (phase, kind)
            ]
            if own:
                figures = f"{len(own):4}  median {np.median(own):6.1%}  p90 {np.quantile(own, 0.9):6.1%}"
                print(f"  {title:10} {phase:8} {kind:6} {figures}")


def print_rows(fit: Fit, x: Floats) -> None:
    for row, error in zip(fit.rows, fit.errors(x), strict=True):
        words = ("gpu", "engine", "phase", "model", "weights", "batch_size", "context_len", "published")
        print("R", *(row[word] for word in words), f"{np.exp(error) - 1:+.0%}", row["source"][:14])


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in values.items()}


def backend_entry(entry: Row, fit: Fit, x: Floats) -> None:
    """Write the fitted constants of a backend, and of its families, into its entry."""
    for kernels, fields in entry["kernels"].items():
        fields.update({**rounded(fit.constants(x, kernels, -1)), "spread": 0.0})
    entry["formats"] = {
        name: [float(f"{value:.3g}") for value in pair] for name, pair in fit.formats(x).items() if pair != (1.0, 1.0)
    }
    widths = {
        kernels: {f.constant for f in FREE.values() if f.width and kernels in f.classes} for kernels in entry["kernels"]
    }
    entry["devices"] = []
    for family in fit.families:
        own = {
            kernels: {
                name: v for name, v in rounded(fit.constants(x, kernels, family)).items() if name in widths[kernels]
            }
            for kernels in entry["kernels"]
        }
        entry["devices"].append({**FAMILIES[fit.group][family], "kernels": {k: v for k, v in own.items() if v}})
    if OLD in fit.programs:
        entry["builds"] = [{"up_to": 2900, **rounded(fit.factors(x, OLD))}]
    entry["source"] = SOURCE


def spreads(errors: dict[tuple[str, str, str], list[float]], group: str) -> dict[str, Any]:
    """The bands of a backend: by phase, and how much wider for mixtures of experts."""

    def width(phase: str, kind: str) -> float:
        own = errors.get((group, phase, kind), [])
        every = [error for (_, p, k), values in errors.items() if (p, k) == (phase, kind) for error in values]
        mine, all_ = (np.quantile(np.abs(values), 0.8) / BAND if values else 0.0 for values in (own, every))
        return float(((len(own) * mine**2 + FEW * all_**2) / (len(own) + FEW)) ** 0.5)

    dense, prompt = width("decode", "dense"), width("prefill", "dense")
    wider = (width("decode", "moe") / dense * width("prefill", "moe") / prompt) ** 0.5
    return {
        **rounded({"spread": dense, "prompt_spread": prompt}),
        "spread_factors": {"dense": 1.0, "moe": float(f"{max(1.0, wider):.3g}")},
    }


def main() -> None:
    groups, solved = groups_of([row for row in desk_rows() if on_device(row)]), {}
    only = [name for name in sys.argv[1:] if name in groups] or list(groups)
    found = Errors()
    for group in only:
        fit = Fit(group, groups[group], start_of(solved.get(BASES.get(group, ""))))
        x = fit.solve()
        solved[group] = (fit, x)
        print(group, len(fit.rows), "rows", len(fit.names), "constants")
        report(fit.rows, fit.errors(x), "in sample")
        if "--rows" in sys.argv:
            print_rows(fit, x)
        for name, value, middle in zip(fit.names, np.exp(x), np.exp(fit.center), strict=True):
            if name[0] == "all" or abs(np.log(value / middle)) > 0.05:
                print("     ", name, f"{value:.3g}")
        if {"--left-out", "--write"} & {*sys.argv}:
            found.add(fit, x)
    if "--write" in sys.argv:
        write(solved, found)


def start_of(solved: tuple[Fit, Floats] | None) -> dict[tuple[str, ...], float] | None:
    """The constants of another backend; None where there is none to start at."""
    return {name: float(np.exp(v)) for name, v in zip(solved[0].names, solved[1], strict=True)} if solved else None


class Errors:
    """Errors of all rows with their stacks left out, and with their models left out on measured stacks."""

    def __init__(self) -> None:
        self.near: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        """With the model left out, by backend, phase and kind of model."""
        self.far: dict[str, list[float]] = defaultdict(list)
        """With the stack left out, by backend."""
        self.lines: dict[str, float] = {}
        """predicted / measured with the stack left out, by row."""

    def add(self, fit: Fit, x: Floats) -> None:
        """Those of a backend."""
        near, far = fold_errors(fit, x), left_out_errors(fit, x)
        report(fit.rows, near, "new model")
        report(fit.rows, far, "left out")
        for row, one, other in zip(fit.rows, near, far, strict=True):
            self.near[fit.group, row["phase"], kind_of(row)].append(one)
            self.far[fit.group].append(other)
            self.lines[row["id"]] = round(float(np.exp(other)), 4)

    def unmeasured_spread(self, group: str, spread: float) -> float:
        """What the band of devices without rows has besides: by the backend's stacks left out, and all backends'."""
        every = [error for errors in self.far.values() for error in errors]
        own, all_ = (np.quantile(np.abs(errors), 0.8) / BAND for errors in (self.far[group], every))
        stacks = FEW_STACKS
        wide = (len(self.far[group]) * own**2 + stacks * all_**2) / (len(self.far[group]) + stacks)
        return float(max(0.0, wide - spread**2) ** 0.5)


def write(solved: dict[str, tuple[Fit, Floats]], found: Errors) -> None:
    """Write both files."""
    table = json.loads(TARGET.read_text())
    entries = {
        f"{entry['id']}:{backend['backend']}": backend for entry in table["engines"] for backend in entry["backends"]
    }
    for group, (fit, x) in solved.items():
        backend_entry(entries[group], fit, x)
        entries[group].update(spreads(found.near, group))
        wide = found.unmeasured_spread(group, entries[group]["spread"])
        entries[group].update({"measured": measured_by(fit, "", OLD), "unmeasured_spread": float(f"{wide:.3g}")})
        for program in {*fit.programs} - {OLD}:
            own = {**rounded(fit.factors(x, program)), "source": SOURCE, "measured": measured_by(fit, program)}
            entries[f"{program}:{group.partition(':')[2]}"].update(own)
    for name, other in UNMEASURED.items():
        copied = {key: value for key, value in entries[other].items() if key in COPIED}
        text = f"no rows of it: the constants of {other}"
        entries[name].update({**copied, "devices": [], "measured": [], "source": text})
    TARGET.write_text(json.dumps(table, indent=1) + "\n")
    LEFT_OUT.write_text(json.dumps({"comment": LEFT_OUT_COMMENT, "rows": found.lines}, indent=1) + "\n")


COPIED = ("kernels", "formats", "spread", "prompt_spread", "spread_factors", "unmeasured_spread")


def measured_by(fit: Fit, *programs: str) -> list[str]:
    """The devices of which a program has rows."""
    return sorted({row["gpu"] for row in fit.rows if program_of(row) in programs})


if __name__ == "__main__":
    main()
