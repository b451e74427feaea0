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

    Entries that were measured on one of `without` are left out. Constants of collectives are taken from kin only where
    both have links of one kind, or none.
    """
    kept = [entry for entry in entries if not {*entry.get("accelerators", ())} & {*without}]
    own = _in_order(gpu, kept)
    if any(entry.get("kernels") for entry in own):
        return Taken(own, next(reversed(_measured(own)), None))
    kin = nearest(gpu, [other for name in _measured(kept) if are_kin(gpu, other := load_accelerator(name))])
    if kin is None:
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


def are_kin(gpu: Accelerator, other: Accelerator) -> bool:
    """Whether two are of one vendor and family, and both have HBM or neither.

    Across these bounds general constants do no worse than the other's: docs/accuracy.md has the errors of both.
    """
    same_memory = (gpu.memory_kind == "HBM") == (other.memory_kind == "HBM")
    return same_memory and (gpu.vendor, family(gpu)) == (other.vendor, family(other))


def nearest(gpu: Accelerator, others: list[Accelerator]) -> Accelerator | None:
    """The nearest of others: first kin, then by family, kind of memory, and `_distance`; None of none."""

    def order(other: Accelerator) -> tuple[bool, bool, bool, float, str]:
        apart = not are_kin(gpu, other), family(gpu) != family(other), gpu.memory_kind != other.memory_kind
        return (*apart, _distance(gpu, other), other.id)

    return min(others, key=order, default=None)


def _distance(gpu: Accelerator, other: Accelerator) -> float:
    """|ln(ratio of their peaks in 16 bits over their bandwidths)| + years between their releases / YEARS."""
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
