"""The constants of one backend of llama.cpp, or of MLX, held against its measured rows: used by tools/fit_desk.py."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsecalc.decide.desk import as_run, engine_of, steps_of
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import accelerator_ids, load_accelerator
from sparsecalc.device.kin import matches
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.step import step_time
from sparsecalc.estimate.timing import kernel_time
from sparsecalc.measure.calibrate.constants_fit import Floats, least_error

Row = dict[str, Any]
GA10X = [f"Ampere GA10{number}" for number in (2, 3, 4, 6, 7)]
GB20X = [f"Blackwell GB20{number}" for number in (2, 3, 5, 6, 7)]
AMPERE_PRO = ["a10", "a10g", "a40", "rtx-a4000", "rtx-a4500", "rtx-a5000", "rtx-a5500", "rtx-a6000"]
ADA_PRO = ["l4", "l40", "l40s", "rtx-4000-ada", "rtx-4500-ada", "rtx-5000-ada", "rtx-6000-ada"]


def _apple(generation: int) -> Row:
    return {"accelerators": [name for name in accelerator_ids() if name.startswith(f"m{generation}")]}


APPLE = tuple(_apple(generation) for generation in range(1, 6))
FAMILIES: dict[str, tuple[Row, ...]] = {
    "llama.cpp:cuda": (
        {"arch": ["Ampere GA100"]},
        {"arch": GA10X},
        {"accelerators": AMPERE_PRO},
        {"arch": ["Ampere GA10B"]},
        {"arch": ["Hopper"]},
        {"arch": ["Ada"]},
        {"accelerators": ADA_PRO},
        {"arch": GB20X},
        {"arch": ["Blackwell GB10 "]},
        {"arch": ["Turing"]},
    ),
    "llama.cpp:rocm": ({"arch": ["RDNA3 "]}, {"arch": ["RDNA3.5"]}),
    "llama.cpp:vulkan": ({"arch": ["Xe"]}, {"arch": ["RDNA3 "]}, {"arch": ["Ada"]}),
    "llama.cpp:metal": APPLE,
    "llama.cpp:cpu": ({"arch": ["Zen 4"]}, {"arch": ["Sapphire"]}, {"arch": ["Meteor"]}),
    "mlx:metal": APPLE,
}
"""Devices that share constants, by engine and backend; of several that a device is of, the last counts."""


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


ATTENTION = ("attention_decode", "attention_prefill", "latent_decode")
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
    "attention, launch": Free(ATTENTION, "overhead_seconds", 6e-6, 0.0, 5e-7, 2e-4),
    "elementwise": Free(("vector",), "bandwidth", 0.5, 0.0, 0.05),
    "scan": Free(("scan",), "bandwidth", 0.4, 0.0, 0.01),
    "scan, products": Free(("scan",), "compute", 0.05, 0.0, 1e-4),
    "latent": Free(("latent_decode",), "bandwidth", 0.5, 0.0, 0.02),
}
"""What else the constants in data/desk_engines.json have is not fitted: powers, what is between experts' products."""
STARTS: dict[str, dict[str, float]] = {"llama.cpp:cpu": {"rows": 1.5, "experts, rows": 1.5}}
"""Where a backend starts elsewhere, and is held: vector units have no tiles that few rows leave empty."""
HELD = {("llama.cpp:cpu", "rows"): 0.3, ("llama.cpp:cpu", "experts, rows"): 0.3}
"""Standard deviation of ln(a constant / its start) where it is not that of others."""
WIDTH = 0.8
"""Standard deviation of ln(a backend's constant / its start), where no other backend tells where to start."""
WIDTH_BESIDE = 0.4
"""The same around the constants of CUDA, from which the kernels of ROCm and Vulkan come."""
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
FACTORS = ("launch_factor", "compute_factor", "attention_factor", "bandwidth_factor")
"""What differs in an old build, in Ollama and in forks."""
OLD, OLD_WIDTHS, OTHER_WIDTHS = "old", (0.5, 0.4, 0.5, 0.1), (0.4, 0.6, 0.4, 0.15)
SOFT = 0.1
"""Errors beyond it count by their size."""
ERROR = 0.12
"""Standard deviation of the errors of single rows, against which the priors are held."""
MOST_ROWS = 3
QUALITIES = {"A": 1.0, "B": 0.9, "C": 0.7}


def program_of(row: Row) -> str:
    """What the row's program is beside its backend: a fork, Ollama, an old build; empty for llama.cpp of today."""
    if row["engine"] not in ("llama.cpp", "mlx"):
        return str(row["engine"])
    return OLD if "@" in engine_of(row) else ""


def stack_of(row: Row) -> tuple[str, str]:
    """Device, and engine with its backend and build: what is left out together, whoever measured it."""
    return row["gpu"], engine_of(row)


@dataclass
class Stack:
    """All kernels of one class, format, device and program, as one kernel of arrays."""

    kernel: Kernel
    rows: np.ndarray
    """Of which row each is."""
    device: DeviceModel
    constants: str
    """The class whose constants it has."""
    family: int
    program: str
    known: dict[tuple[float, ...], np.ndarray] = field(default_factory=dict)
    """Seconds by the constants that they follow from, of the last evaluations."""

    def seconds(
        self, constants: Mapping[str, float], form: tuple[float, float], factors: Mapping[str, float]
    ) -> Floats:
        """Seconds of each kernel."""
        key = (*constants.values(), *form, *factors.values())
        if key not in self.known:
            while len(self.known) > 3:
                self.known.pop(next(iter(self.known)))
            one = self.device.constants[self.constants].but(**constants)
            engine = self.device.engine.but(formats={self.kernel.stored: form}, **factors)
            names = (self.kernel.family, f"{self.kernel.family}.{self.kernel.form}")
            device = self.device.but(constants=dict.fromkeys(names, one), engine=engine)
            self.known[key] = np.asarray(kernel_time(self.kernel, device).seconds)
        return self.known[key]


ARRAYS = ("layers", "launches", "flops", "weight_bytes", "cache_bytes", "activation_bytes", "vector_bytes")
ARRAYS = (*ARRAYS, "distinct", "extent")


def stacks_of(rows: Sequence[Row], group: str) -> tuple[list[Stack], Floats]:
    """The kernels of all rows, and what is left of their seconds: the engine's own time."""
    found: dict[tuple[str, ...], list[tuple[int, Kernel]]] = defaultdict(list)
    devices: dict[tuple[str, str], DeviceModel] = {}
    rest = np.zeros(len(rows))
    for place, row in enumerate(rows):
        named = (row["gpu"], engine_of(row))
        if named not in devices:
            devices[named] = device_model(load_accelerator(named[0]), named[1])
        device = devices[named]
        model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
        for work in steps_of(row, device.engine.micro_batch):
            for time in step_time(model, work, precision, device).times:
                if time.kernel.scope == "engine":
                    rest[place] += time.seconds
                    continue
                kernel, exact = time.kernel, f"{time.kernel.family}.{time.kernel.form}"
                name = exact if exact in device.constants else kernel.family
                found[(*named, program_of(row), name, kernel.stored, kernel.dtype)].append((place, kernel))
    made = []
    for (gpu, engine, program, name, _, _), members in found.items():
        arrays = {key: np.array([float(getattr(kernel, key)) for _, kernel in members]) for key in ARRAYS}
        kernel = replace(members[0][1], **arrays, rows_per_cache_head=np.inf)
        places = np.array([place for place, _ in members])
        made.append(Stack(kernel, places, devices[gpu, engine], name, family_of(gpu, group), program))
    return made, rest


def family_of(gpu: str, group: str) -> int:
    """The family of a device; -1: none."""
    accelerator = load_accelerator(gpu)
    hits = [place for place, family in enumerate(FAMILIES[group]) if matches(accelerator, family)]
    return hits[-1] if hits else -1


Name = tuple[str, ...]


class Fit:
    """The constants of one backend, held against its rows: x are their logarithms, in the order of `names`."""

    def __init__(self, group: str, rows: Sequence[Row], base: Mapping[Name, float] | None = None) -> None:
        self.group, self.rows = group, rows
        self.stacks, self.rest = stacks_of(rows, group)
        self.measured = np.array([row["seconds_per_step"] for row in rows])
        self.weights = row_weights(rows)
        self.programs = sorted({stack.program for stack in self.stacks} - {""})
        self.families = sorted({stack.family for stack in self.stacks} - {-1})
        self.names: list[Name] = []
        columns = [
            *self._backend(base or {}),
            *self._formats(base or {}),
            *self._families(bool(base)),
            *self._programs(),
        ]
        self.names = [name for name, *_ in columns]
        numbers = np.array([values for _, *values in columns])
        self.center, self.pull = np.log(numbers[:, 0]), ERROR / numbers[:, 1]
        self.bounds = np.log(numbers[:, 2]), np.log(numbers[:, 3])
        self.index = {name: place for place, name in enumerate(self.names)}

    def _backend(self, base: Mapping[Name, float]) -> list[tuple[Any, ...]]:
        width, own = WIDTH_BESIDE if base else WIDTH, STARTS.get(self.group, {})
        return [
            (
                ("all", name),
                base.get(("all", name), own.get(name, free.start)),
                HELD.get((self.group, name), width),
                free.low,
                free.high,
            )
            for name, free in FREE.items()
        ]

    def _formats(self, base: Mapping[Name, float]) -> list[tuple[Any, ...]]:
        names = [("format", kind, str(side)) for kind in FORMATS for side in (0, 1)]
        return [(name, base.get(name, 1.0), FORMAT_WIDTHS[int(name[2])], 0.2, 3.0) for name in names]

    def _families(self, wide: bool) -> list[tuple[Any, ...]]:
        return [
            (("family", str(family), name), 1.0, free.width * (2 if wide else 1), 0.1, 10.0)
            for family in self.families
            for name, free in FREE.items()
            if free.width
        ]

    def _programs(self) -> list[tuple[Any, ...]]:
        return [
            (("program", program, name), 1.0, width, 0.05, 20.0)
            for program in self.programs
            for name, width in zip(FACTORS, OLD_WIDTHS if program == OLD else OTHER_WIDTHS, strict=True)
        ]

    def value(self, x: Floats, *name: str) -> float:
        """A constant or factor; 1 where it is not among those that are fitted."""
        place = self.index.get(name)
        return 1.0 if place is None else float(np.exp(x[place]))

    def constants(self, x: Floats, kernels: str, family: int) -> dict[str, float]:
        """The fitted constants of a class of kernels in a family; -1: of the backend."""
        found = {}
        for key, free in FREE.items():
            if kernels in free.classes:
                value = self.value(x, "all", key) * self.value(x, "family", str(family), key)
                found[free.constant] = min(max(value, free.low), free.high)
        return found

    def formats(self, x: Floats) -> dict[str, tuple[float, float]]:
        """Factors by format of the weights."""
        sides = {kind: (self.value(x, "format", kind, "0"), self.value(x, "format", kind, "1")) for kind in FORMATS}
        return {name: sides[kind] for kind, names in FORMATS.items() for name in names}

    def factors(self, x: Floats, program: str) -> dict[str, float]:
        """Factors of a program."""
        return {name: self.value(x, "program", program, name) for name in FACTORS}

    def _seconds(self, x: Floats, stacks: Sequence[Stack]) -> list[Floats]:
        """Seconds of the kernels of each stack."""
        formats = self.formats(x)
        constants: dict[tuple[str, int], dict[str, float]] = {}
        factors = {program: self.factors(x, program) for program in ("", *self.programs)}
        found = []
        for stack in stacks:
            key = (stack.constants, stack.family)
            if key not in constants:
                constants[key] = self.constants(x, *key)
            form = formats.get(stack.kernel.stored, (1.0, 1.0))
            found.append(stack.seconds(constants[key], form, factors[stack.program]))
        return found

    def _by_row(self, stacks: Sequence[Stack], seconds: Sequence[Floats]) -> Floats:
        places = np.concatenate([stack.rows for stack in stacks])
        return np.bincount(places, np.concatenate(seconds), len(self.rows))

    def predicted(self, x: Floats) -> Floats:
        """Seconds of all rows."""
        return self.rest + self._by_row(self.stacks, self._seconds(x, self.stacks))

    def errors(self, x: Floats) -> Floats:
        """ln(predicted / measured) of all rows."""
        return np.asarray(np.log(self.predicted(x) / self.measured))

    def slopes(self, x: Floats) -> Floats:
        """d errors / d x: only the kernels that follow from a constant are computed anew for it."""
        total = self.predicted(x)
        found = np.zeros((len(self.rows), len(x)))
        for place, name in enumerate(self.names):
            own = [stack for stack in self.stacks if follows(stack, name)]
            if own:
                moved = x.copy()
                moved[place] += STEP
                change = [new - old for new, old in zip(self._seconds(moved, own), self._seconds(x, own), strict=True)]
                found[:, place] = self._by_row(own, change) / STEP / total
        return found

    def solve(self, left_out: Floats | None = None, start: Floats | None = None) -> Floats:
        """The constants that fit the rows best; those where `left_out` is 1 do not count."""
        scale = self.weights if left_out is None else self.weights * (1 - left_out)
        low, high = self.bounds
        begin = np.clip(self.center if start is None else start, low + 1e-9, high - 1e-9)
        return least_error(
            lambda x: scale * self.errors(x),
            begin,
            self.bounds,
            center=self.center,
            pull=self.pull,
            soft=SOFT,
            slopes=lambda x: scale[:, None] * self.slopes(x),
            most_steps=MOST_STEPS,
        )


STEP, MOST_STEPS = 1e-4, 40


def follows(stack: Stack, name: Name) -> bool:
    """Whether the seconds of a stack follow from a constant."""
    kind, of, *rest = name
    if kind == "all":
        return stack.constants in FREE[of].classes
    if kind == "format":
        return stack.kernel.stored in FORMATS[of]
    if kind == "family":
        return stack.family == int(of) and stack.constants in FREE[rest[0]].classes
    return stack.program == of


def row_weights(rows: Sequence[Row]) -> Floats:
    """Rows of one model on one stack count together as three at most; those of unverified sources less."""

    def own(row: Row) -> tuple[Any, ...]:
        return (*stack_of(row), row["phase"], row["model"], row["weights"])

    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        counts[own(row)] += 1
    return np.array([QUALITIES[row["quality"]] * min(1.0, (MOST_ROWS / counts[own(row)]) ** 0.5) for row in rows])
