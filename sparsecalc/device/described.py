"""An accelerator in a line: `8gb:448gb/s:20tflops` is its memory, the rate of that, and the peak in 16 bits."""

import re

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.device.accelerator import Accelerator

KINDS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple", "cpu": ""}
"""First words, which say whose it is, or that it is a CPU."""
EXAMPLE = "nvidia:8gb:448gb/s:20tflops"
LONGEST = 200
_PART = re.compile(r"(?P<value>\d+(?:\.\d+)?)(?P<unit>[mgt]i?b/s|[mgt]bps|gi?b|ti?b|mi?b|[gt]flops?(?:/s)?|tops)")
_SIZES = {"m": 20, "g": 30, "t": 40}
_RATES = {"m": 1e6, "g": 1e9, "t": 1e12}
_MOST = 2.0**60


def is_description(name: str) -> bool:
    """Whether a name is such a line: one of its parts is a figure with a unit, and nothing in it is a path."""
    parts = name.strip().lower().split(":")
    return len(parts) > 1 and len(name) <= LONGEST and any(_PART.fullmatch(part.strip()) for part in parts)


def described(text: str) -> Accelerator:
    """The accelerator of such a line, its parts in any order; `25tops` are those of int8.

    GB of memory are GiB, as cards are sold. Raises InputError for a part that is none, or one that is missing.
    """
    vendor, kind, found = "", "gpu", dict[str, float]()
    for part in (each.strip() for each in text.strip().lower().split(":")):
        if part in KINDS:
            vendor, kind = KINDS[part], "cpu" if part == "cpu" else "soc" if part == "apple" else "gpu"
            continue
        match = _PART.fullmatch(part)
        if match is None:
            raise InputError(f"--gpu {brief(text)} has the part {brief(part)}", hint=f"Example: {EXAMPLE}")
        what, value = _figure(float(match["value"]), match["unit"])
        if not 0 < value <= _MOST or what in found:
            why = "given twice" if what in found else "out of range"
            raise InputError(f"--gpu {brief(text)}: the {what} is {why}", hint=f"Example: {EXAMPLE}")
        found[what] = value
    if lacking := [what for what in ("memory", "memory rate", "peak in 16 bits") if what not in found]:
        raise InputError(f"--gpu {brief(text)} lacks the {' and the '.join(lacking)}", hint=f"Example: {EXAMPLE}")
    peaks = {"bf16": found["peak in 16 bits"], "fp16": found["peak in 16 bits"]}
    return Accelerator.model_validate(
        {
            "id": re.sub(r"[^a-z0-9.]+", "-", text.strip().lower().replace("/s", "ps"))[:100].strip("-."),
            "name": text.strip(),
            "vendor": vendor,
            "kind": kind,
            "memory_bytes": int(found["memory"]),
            "memory_bytes_per_second": found["memory rate"],
            "peak_flops_per_second": peaks | ({"int8": found["peak in int8"]} if "peak in int8" in found else {}),
            "sources": ("--gpu",),
            "confidence": "from memory",
        }
    )


def _figure(value: float, unit: str) -> tuple[str, float]:
    """What a figure is of, and its value in bytes, bytes/s or FLOP/s."""
    if "flop" in unit:
        return "peak in 16 bits", value * _RATES[unit[0]]
    if unit == "tops":
        return "peak in int8", value * 1e12
    if unit.endswith(("/s", "ps")):
        return "memory rate", value * _RATES[unit[0]]
    return "memory", value * 2.0 ** _SIZES[unit[0]]
