"""What Windows tells of its machine, by one call of PowerShell.

Source: Microsoft's reference of the CIM classes Win32_Processor, Win32_OperatingSystem (sizes in KiB),
Win32_PhysicalMemory (SMBIOSMemoryType as DMTF's SMBIOS, type 17, numbers kinds of memory), Win32_VideoController.
"""

import json
from functools import cache
from typing import Any

from sparsecalc.device.local.system import answer

KINDS = {24: "DDR3", 26: "DDR4", 30: "LPDDR4", 34: "DDR5", 35: "LPDDR5"}
"""Kinds of memory by their numbers in SMBIOS."""
_SCRIPT = (
    "$p = @(Get-CimInstance Win32_Processor); $o = Get-CimInstance Win32_OperatingSystem;"
    " @{ cpus = @($p.Name); cores = ($p | Measure-Object NumberOfCores -Sum).Sum;"
    " total = $o.TotalVisibleMemorySize; free = $o.FreePhysicalMemory;"
    " speeds = @((Get-CimInstance Win32_PhysicalMemory).ConfiguredClockSpeed);"
    " kinds = @((Get-CimInstance Win32_PhysicalMemory).SMBIOSMemoryType);"
    " gpus = @((Get-CimInstance Win32_VideoController).Name) } | ConvertTo-Json -Compress"
)


@cache
def windows() -> dict[str, Any]:
    """The answer; nothing where there is no PowerShell, or it prints something else."""
    text = answer("powershell", "-NoProfile", "-NonInteractive", "-Command", _SCRIPT, seconds=10.0)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def listed(name: str) -> list[Any]:
    """A list of the answer; PowerShell may make a list of one a value."""
    value = windows().get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def number(name: str) -> int | None:
    """A whole number of the answer above 0."""
    value = windows().get(name)
    return int(value) or None if isinstance(value, int | float) and 0 < value < 2**60 else None


def module_kinds() -> list[tuple[str, int]]:
    """Kind and speed of each memory module that is known."""
    pairs = zip(listed("kinds"), listed("speeds"), strict=False)
    return [(KINDS[kind], speed) for kind, speed in pairs if kind in KINDS and isinstance(speed, int) and speed > 0]
