"""Which accelerators an engine serves on (data/served_devices.json), and which of them have a price."""

from functools import cache
from typing import Any

from sparsecalc.data_files import read_data
from sparsecalc.device.sheets import accelerator_ids


@cache
def _engines() -> dict[str, Any]:
    found: dict[str, Any] = read_data("served_devices.json")["engines"]
    return found


def planned_engines() -> list[str]:
    """Ids of the engines whose accelerators are known."""
    return list(_engines())


def priced_accelerators(engine: str) -> list[str]:
    """Ids of the built-in accelerators that an engine serves on and that have a price per hour."""
    archs = _engines()[engine]["archs"]
    sheets = ((name, read_data(f"accelerators/{name}.json")) for name in accelerator_ids())
    return [name for name, sheet in sheets if sheet["usd_per_hour"] and _is_one_of(sheet["arch"], archs)]


def _is_one_of(arch: str, known: list[str]) -> bool:
    """Whether an architecture's text names one of the known ones as a whole word."""
    words = arch.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return any(word in known for word in words)
