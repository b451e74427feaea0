"""Fit the profiles of llama.cpp and its like in data/desk_engines.json: python tools/fit_desk.py [--write] [--left-out].

The rows are those of data/measurements/desk.json that lie on one device, and of fixed_batch.json. Each backend has one
set of constants; families of devices differ from it as far as their rows insist (a prior holds them together), so that
a device of which nothing was measured has the constants of its backend.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.decide.desk import as_run, desk_rows, engine_of, on_device, steps_of
from sparsecalc.device.find import accelerator_ids
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.kin import matches
from sparsecalc.device.time_constants import DeviceModel, Engine, KernelConstants
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.step import step_time
from sparsecalc.estimate.timing import kernel_time
from sparsecalc.measure.calibrate.constants_fit import Floats, least_error

Row = dict[str, Any]
TARGET = Path(__file__).parent.parent / "data" / "desk_engines.json"
GA10X = [f"Ampere GA10{number}" for number in (2, 3, 4, 6, 7)]
GB20X = [f"Blackwell GB20{number}" for number in (2, 3, 5, 6, 7)]


def _apple(generation: int) -> Row:
    return {"accelerators": [name for name in accelerator_ids() if name.startswith(f"m{generation}")]}


FAMILIES: dict[str, tuple[Row, ...]] = {
    "cuda": (
        {"arch": ["Ampere GA100"]},
        {"arch": GA10X},
        {"accelerators": ["a10", "a10g", "a40", "rtx-a4000", "rtx-a4500", "rtx-a5000", "rtx-a5500", "rtx-a6000"]},
        {"arch": ["Ampere GA10B"]},
        {"arch": ["Hopper"]},
        {"arch": ["Ada"]},
        {"accelerators": ["l4", "l40", "l40s", "rtx-4000-ada", "rtx-4500-ada", "rtx-5000-ada", "rtx-6000-ada"]},
        {"arch": GB20X},
        {"arch": ["Blackwell GB10 "]},
        {"arch": ["Turing"]},
    ),
    "rocm": ({"arch": ["RDNA3 "]}, {"arch": ["RDNA3.5"]}),
    "vulkan": ({"arch": ["Xe2"]}, {"arch": ["RDNA3 "]}, {"arch": ["Ada"]}),
    "metal": tuple(_apple(generation) for generation in range(1, 6)),
    "cpu": ({"arch": ["Zen"]}, {"arch": ["Sapphire"]}, {"arch": ["Meteor"]}),
}
"""Devices that share constants, by backend."""


@dataclass(frozen=True)
class Free:
    """A constant that is fitted: of which classes of kernels, and how far families may be from their backend."""

    classes: tuple[str, ...]
    constant: str
    start: float
    width: float = 0.0
    """Standard deviation of ln(a family's / its backend's); 0: all families share it."""
    low: float = 1e-3
    high: float = 1.0


FREE: dict[str, Free] = {
    "weights": Free(("gemm.weight-only", "gemm"), "bandwidth", 0.8, 0.10, 0.2),
    "products": Free(("gemm.weight-only",), "compute", 0.3, 0.3, 1e-2),
    "products, 16 bits": Free(("gemm",), "compute", 0.5, 0.2, 1e-2),
    "rows": Free(("gemm.weight-only", "gemm"), "half_length", 8.0, 0.0, 0.3, 300.0),
    "launch": Free(("gemm.weight-only", "gemm", "vector"), "overhead_seconds", 3e-6, 0.4, 3e-7, 1e-4),
    "experts": Free(("experts",), "bandwidth", 0.7, 0.15, 0.1),
    "experts, products": Free(("experts",), "compute", 0.2, 0.3, 5e-3),
    "experts, rows": Free(("experts",), "half_length", 16.0, 0.0, 0.3, 300.0),
    "experts, launch": Free(("experts",), "overhead_seconds", 15e-6, 0.3, 1e-6, 4e-4),
    "cache": Free(("attention_decode",), "bandwidth", 0.5, 0.25, 0.02),
    "attention": Free(("attention_prefill",), "compute", 0.2, 0.3, 3e-3),
    "attention, launch": Free(
        ("attention_decode", "attention_prefill", "latent_decode"), "overhead_seconds", 6e-6, 0.0, 5e-7, 2e-4
    ),  # fmt: skip
    "elementwise": Free(("vector",), "bandwidth", 0.5, 0.0, 0.05),
    "scan": Free(("scan",), "bandwidth", 0.4, 0.0, 0.01),
    "scan, products": Free(("scan",), "compute", 0.05, 0.0, 1e-4),
    "latent": Free(("latent_decode",), "bandwidth", 0.5, 0.0, 0.02),
}
"""The rest is as in the file: power, the elementwise kernels of experts."""
SPREAD_OF_START = 0.8
"""Standard deviation of ln(a backend's constant / its start)."""
FORMATS: dict[str, tuple[str, ...]] = {
    "8 bits": ("q8_0", "q8_1", "int8"),
    "legacy": ("q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl"),
    "low": ("q2_k", "q3_k"),
    "i-quants": ("iq4_xs", "iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"),
    "mxfp4": ("mxfp4",),
}
"""Formats whose kernels differ from those of q4_k to q6_k."""
FORMAT_WIDTHS = (0.10, 0.20)
"""Standard deviation of ln of their factors on the bandwidth and on the share of the peak."""
OLD = ("launch_factor", "compute_factor", "attention_factor", "bandwidth_factor")
"""What differs in builds of May 2024, and in Ollama and forks."""
OLD_WIDTHS = (0.5, 0.4, 0.5, 0.1)
OTHER_WIDTHS = (0.4, 0.3, 0.3, 0.15)
EVERY = ("gemm", "gemm.weight-only", "experts", "attention_decode", "attention_prefill", "latent_decode", "vector", "scan")  # fmt: skip


def build_of(row: Row) -> str:
    """What the row's program is beside its backend: a fork, Ollama, an old build; empty for llama.cpp of today."""
    if row["engine"] not in ("llama.cpp",):
        return str(row["engine"])
    return "old" if "May 2024" in (row.get("engine_version") or "") else ""


def stack_of(row: Row) -> tuple[str, str, str]:
    """Device, engine with its backend, and source: what is left out together."""
    return row["gpu"], engine_of(row) + build_of(row), row["source"].split(" (")[0]


@dataclass
class Stack:
    """All kernels of one class, format, device and program, as one kernel of arrays."""

    kernel: Kernel
    places: np.ndarray
    """Of which row each is."""
    device: DeviceModel
    constants: str
    family: int
    build: str
    known: dict[tuple[Any, ...], np.ndarray]
    """Seconds by the constants that they follow from, of the last evaluations."""

    def seconds(self, constants: Mapping[str, float], formats: tuple[float, float], factors: Mapping[str, float]) -> np.ndarray:  # fmt: skip
        key = (*constants.values(), *formats, *factors.values())
        if key not in self.known:
            while len(self.known) > 3:
                self.known.pop(next(iter(self.known)))
            one = self.device.constants[self.constants].but(**constants)
            engine = self.device.engine.but(formats={self.kernel.stored: formats}, **factors)
            names = (self.kernel.family, f"{self.kernel.family}.{self.kernel.form}")
            device = self.device.but(constants=dict.fromkeys(names, one), engine=engine)
            self.known[key] = np.asarray(kernel_time(self.kernel, device).seconds)
        return self.known[key]


ARRAYS = ("layers", "launches", "flops", "weight_bytes", "cache_bytes", "activation_bytes", "vector_bytes", "distinct", "extent")  # fmt: skip


def stacks(rows: Sequence[Row], backend: str) -> tuple[list[Stack], Floats]:
    """The kernels of all rows, and what is left of their seconds: the engine's own time."""
    found: dict[tuple[Any, ...], list[tuple[int, Kernel]]] = defaultdict(list)
    devices: dict[tuple[str, str], DeviceModel] = {}
    rest = np.zeros(len(rows))
    for place, row in enumerate(rows):
        named = (row["gpu"], engine_of(row))
        device = devices.setdefault(named, device_model(load_accelerator(named[0]), named[1]))
        model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
        for works in steps_of(row, device.engine.micro_batch):
            for time in step_time(model, works, precision, device).times:
                if time.kernel.scope == "engine":
                    rest[place] += time.seconds
                    continue
                kernel = time.kernel
                exact = f"{kernel.family}.{kernel.form}"
                name = exact if exact in device.constants else kernel.family
                found[(*named, build_of(row), name, kernel.stored, kernel.dtype)].append((place, kernel))
    made = []
    for (gpu, engine, build, name, _, _), members in found.items():
        arrays = {key: np.array([float(getattr(kernel, key)) for _, kernel in members]) for key in ARRAYS}
        kernel = replace(members[0][1], **arrays, rows_per_cache_head=np.inf)
        places = np.array([place for place, _ in members])
        made.append(Stack(kernel, places, devices[gpu, engine], name, family_of(gpu, backend), build, {}))
    return made, rest


def family_of(gpu: str, backend: str) -> int:
    """The family of a device, the last that it is of; -1: none."""
    accelerator = load_accelerator(gpu)
    hits = [n for n, family in enumerate(FAMILIES.get(backend, ())) if matches(accelerator, family)]
    return hits[-1] if hits else -1


class Fit:
    """The constants of one backend, held against its rows."""

    def __init__(self, backend: str, rows: Sequence[Row], base: Mapping[str, float] | None = None, width: float = SPREAD_OF_START) -> None:  # fmt: skip
        self.backend, self.rows = backend, rows
        self.stacks, self.rest = stacks(rows, backend)
        self.measured = np.array([row["seconds_per_step"] for row in rows])
        self.builds = sorted({stack.build for stack in self.stacks} - {""})
        start = dict(base or {name: free.start for name, free in FREE.items()})
        self.names: list[tuple[str, ...]] = []
        center, pull, low, high = [], [], [], []

        def add(name: tuple[str, ...], middle: float, sigma: float, least: float, most: float) -> None:
            self.names.append(name)
            center.append(np.log(middle))
            pull.append(SOFT_PULL / sigma)
            low.append(np.log(least))
            high.append(np.log(most))

        for name, free in FREE.items():
            add(("all", name), start[name], width, free.low, free.high)
        for kind in FORMATS:
            for side, sigma in enumerate(FORMAT_WIDTHS):
                add(("format", kind, str(side)), start.get(f"{kind}/{side}", 1.0), sigma, 0.2, 3.0)
        for family in sorted({stack.family for stack in self.stacks} - {-1}):
            for name, free in FREE.items():
                if free.width:
                    add(("family", str(family), name), 1.0, free.width, 0.1, 10.0)
        for build in self.builds:
            for name, sigma in zip(OLD, OLD_WIDTHS if build == "old" else OTHER_WIDTHS, strict=True):
                add(("build", build, name), 1.0, sigma, 0.05, 20.0)
        self.center, self.pull = np.array(center), np.array(pull)
        self.bounds = np.array(low), np.array(high)
        self.index = {name: place for place, name in enumerate(self.names)}

    def value(self, x: Floats, *name: str) -> float:
        place = self.index.get(name)
        return 1.0 if place is None else float(np.exp(x[place]))

    def constants(self, x: Floats, name: str, family: int) -> dict[str, float]:
        """The fitted constants of a class of kernels in a family; -1: of the backend."""
        found = {}
        for key, free in FREE.items():
            if name in free.classes:
                value = self.value(x, "all", key) * self.value(x, "family", str(family), key)
                found[free.constant] = min(max(value, free.low), free.high)
        return found

    def formats(self, x: Floats) -> dict[str, tuple[float, float]]:
        sides = {kind: (self.value(x, "format", kind, "0"), self.value(x, "format", kind, "1")) for kind in FORMATS}
        return {name: sides[kind] for kind, names in FORMATS.items() for name in names}

    def factors(self, x: Floats, build: str) -> dict[str, float]:
        return {name: self.value(x, "build", build, name) for name in OLD}

    def seconds(self, x: Floats) -> Floats:
        """Predicted seconds of all rows."""
        total = self.rest.copy()
        formats, constants = self.formats(x), {}
        factors = {build: self.factors(x, build) for build in ("", *self.builds)}
        for stack in self.stacks:
            key = (stack.constants, stack.family)
            if key not in constants:
                constants[key] = self.constants(x, *key)
            form = formats.get(stack.kernel.stored, (1.0, 1.0))
            np.add.at(total, stack.places, stack.seconds(constants[key], form, factors[stack.build]))
        return total

    def errors(self, x: Floats) -> Floats:
        """ln(predicted / measured)."""
        return np.log(self.seconds(x) / self.measured)

    def solve(self, weights: Floats | None = None, start: Floats | None = None) -> Floats:
        scale = np.ones(len(self.rows)) if weights is None else weights
        begin = np.clip(self.center if start is None else start, self.bounds[0] + 1e-9, self.bounds[1] - 1e-9)
        return least_error(lambda x: scale * self.errors(x), begin, self.bounds, center=self.center, pull=self.pull, soft=SOFT)  # fmt: skip


SOFT = 0.1
SOFT_PULL = 0.12
"""Errors of about this size are what rows have; so strong is a prior of one standard deviation."""


def weights_of(rows: Sequence[Row]) -> Floats:
    """Rows of one model on one stack count together as three at most; those of unverified sources less."""

    def group(row: Row) -> tuple[Any, ...]:
        return (*stack_of(row), row["phase"], row["model"], row["weights"])

    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        counts[group(row)] += 1
    quality = {"A": 1.0, "B": 0.9, "C": 0.7}
    return np.array([quality[row["quality"]] * min(1.0, (3 / counts[group(row)]) ** 0.5) for row in rows])


def report(rows: Sequence[Row], errors: Floats, title: str) -> None:
    for phase in ("decode", "prefill"):
        for kind in ("dense", "moe"):
            own = [
                abs(np.exp(e) - 1)
                for r, e in zip(rows, errors, strict=True)
                if r["phase"] == phase and (as_run(r["model"], r["weights"], r["kv_cache"])[0].spec.kind == "dense") == (kind == "dense")
            ]  # fmt: skip
            if own:
                print(f"  {title:12} {phase:8} {kind:6} {len(own):4}  median {np.median(own):6.1%}  p90 {np.quantile(own, 0.9):6.1%}")  # fmt: skip


def by_stack(rows: Sequence[Row], errors: Floats) -> None:
    found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for row, error in zip(rows, errors, strict=True):
        found[(*stack_of(row), row["phase"])].append(error)
    for key, values in sorted(found.items(), key=str):
        print("   ", key, len(values), f"bias {np.exp(np.median(values)) - 1:+.0%} abs {np.median(np.abs(np.exp(values) - 1)):.0%}")  # fmt: skip


def main() -> None:
    rows = [row for row in desk_rows() if on_device(row)]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["engine"] in ("llama.cpp", "ollama", "ik_llama.cpp"):
            groups[engine_of(row).partition(":")[2]].append(row)
        elif row["engine"] == "mlx":
            groups["mlx"].append(row)
    only = [name for name in sys.argv[1:] if name in groups]
    for backend in only or groups:
        fit = Fit(backend, groups[backend])
        x = fit.solve(weights_of(fit.rows))
        print(backend, len(fit.rows), "rows", len(fit.names), "constants")
        report(fit.rows, fit.errors(x), "in sample")
        by_stack(fit.rows, fit.errors(x))
        if "--rows" in sys.argv:
            for row, error in sorted(zip(fit.rows, fit.errors(x), strict=True), key=lambda pair: (stack_of(pair[0]), pair[0]["phase"], pair[0]["model"], pair[0]["context_len"])):  # fmt: skip
                print("R", row["gpu"], engine_of(row), row["phase"], row["model"], row["weights"], row["batch_size"], row["context_len"], row["kv_cache"], row["published"], f"{np.exp(error) - 1:+.0%}", row["source"][:12])  # fmt: skip
        for name, value, middle in zip(fit.names, np.exp(x), np.exp(fit.center), strict=True):
            if name[0] == "all" or abs(np.log(value / middle)) > 0.05:
                print("     ", name, f"{value:.3g}")


if __name__ == "__main__":
    main()
