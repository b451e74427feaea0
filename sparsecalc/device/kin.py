"""Kin: whose measured constants an accelerator takes that has none of its own."""

import re
from collections.abc import Collection
from math import inf, log
from typing import Any, NamedTuple

from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.find import load_accelerator

Entry = dict[str, Any]
"""Constants, and whose they are: they were measured on the first of `accelerators`, and stand for the others and for
architectures whose names begin as `arch` says."""
YEARS = 10.0
"""Years between two releases that weigh as much as e times the operations per byte of memory."""


class Taken(NamedTuple):
    """The entries that an accelerator takes, from the general to the special."""

    entries: list[Entry]
    measured_on: str | None
    """The accelerator whose constants they are; None: there are none, or they do not name it."""


def matches(gpu: Accelerator, entry: Entry) -> bool:
    """Whether an entry is for the accelerator, by its id or the beginning of its architecture's name."""
    return gpu.id in entry.get("accelerators", ()) or gpu.arch.startswith(tuple(entry.get("arch", ())))


def constants_for(gpu: Accelerator, entries: list[Entry], without: Collection[str] = ()) -> Taken:
    """Entries of the accelerator's architecture and its own; where none of them holds kernels, those of its kin.

    Kin of another family are none: general constants do no worse than theirs (docs/accuracy.md has both). Entries that
    were measured on one of `without` are left out. Constants of collectives are taken from kin only where both have
    links of one kind, or none.
    """
    kept = [entry for entry in entries if not {*entry.get("accelerators", ())} & {*without}]
    own = _in_order(gpu, kept)
    if any(entry.get("kernels") for entry in own):
        return Taken(own, next(reversed(_measured(own)), None))
    kin = nearest(gpu, [load_accelerator(name) for name in _measured(kept)])
    if kin is None or family(kin) != family(gpu):
        return Taken(own, None)
    taken = _in_order(kin, kept)
    if _links(kin) != _links(gpu):
        taken = [{key: value for key, value in entry.items() if key != "collectives"} for entry in taken]
    return Taken([*taken, *own], kin.id)


def _measured(entries: list[Entry]) -> list[str]:
    """The accelerators that entries with kernels were measured on, each once, in order."""
    named = [entry["accelerators"][0] for entry in entries if entry.get("kernels") and entry.get("accelerators")]
    return list(dict.fromkeys(named))


def family(gpu: Accelerator) -> str:
    """The letters that the name of an architecture begins with: Ampere of `Ampere GA102 (sm_86)`."""
    return "".join(re.findall(r"^[A-Za-z]+", gpu.arch)) or gpu.arch


def nearest(gpu: Accelerator, others: list[Accelerator]) -> Accelerator | None:
    """The nearest kin of an accelerator; None where no other is of its vendor and its sort (CPUs are one of their own).

    Those of its `family` come first, then those with its kind of memory (or at least HBM or not, as it has); among
    them the one whose peak in 16 bits over its bandwidth, and whose year of release, are nearest: least
    |ln(ratio of the two)| + years / YEARS. docs/accuracy.md has the errors of each device with its kin's constants.
    """
    same = [other for other in others if other.vendor == gpu.vendor and (other.kind == "cpu") == (gpu.kind == "cpu")]
    return min(same, key=lambda other: (*_differs(gpu, other), _distance(gpu, other), other.id), default=None)


def _differs(gpu: Accelerator, other: Accelerator) -> tuple[bool, bool, bool]:
    one, two = gpu.memory_kind, other.memory_kind
    return family(gpu) != family(other), (one == "HBM") != (two == "HBM"), one != two


def _distance(gpu: Accelerator, other: Accelerator) -> float:
    if not _operations_per_byte(gpu) or not _operations_per_byte(other):
        return inf
    years = abs(_year(gpu) - _year(other)) if gpu.released and other.released else YEARS
    return abs(log(_operations_per_byte(gpu) / _operations_per_byte(other))) + years / YEARS


def _operations_per_byte(gpu: Accelerator) -> float:
    peaks = gpu.peak_flops_per_second
    return (peaks.get("bf16") or peaks.get("fp16") or 0.0) / gpu.memory_bytes_per_second


def _year(gpu: Accelerator) -> float:
    year, _, month = (gpu.released or "").partition("-")
    return int(year) + int(month or 6) / 12


def _links(gpu: Accelerator) -> str | None:
    return re.sub(r"\d.*", "", gpu.scale_up.kind) if gpu.scale_up else None


def _in_order(gpu: Accelerator, entries: list[Entry]) -> list[Entry]:
    """Entries of the architecture in the file's order, then the device's own; of each those for every engine first."""
    entries = sorted((entry for entry in entries if matches(gpu, entry)), key=lambda entry: "engine" in entry)
    return sorted(entries, key=lambda entry: gpu.id in entry.get("accelerators", ()))
