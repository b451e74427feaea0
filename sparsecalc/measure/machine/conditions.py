"""The conditions of a measurement: device, versions, clocks, power limit, other users of the machine, noise."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.measure.machine.stopwatch import last_level_cache_bytes, measure

DEVICES = ("cpu", "cuda", "mps")
NOISY = 0.15
"""Spread (p90 - p10) / median of equal pieces of work above which a machine is called noisy."""
BUSY_LOAD = 0.5
"""Load average per processor, before measuring, above which others are using the machine."""

_GPU_FIELDS = {
    "driver": "driver_version",
    "power_limit_watts": "power.limit",
    "power_draw_watts": "power.draw",
    "sm_clock_hz": "clocks.sm",
    "memory_clock_hz": "clocks.mem",
    "max_sm_clock_hz": "clocks.max.sm",
    "temperature_celsius": "temperature.gpu",
    "utilization_percent": "utilization.gpu",
    "mig_mode": "mig.mode.current",
}
"""Names here and nvidia-smi's (nvidia-smi --help-query-gpu)."""
_THROTTLING = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}
"""Bits of clocks_event_reasons.active that mean lower clocks (nvml.h, nvmlClocksEventReason...)."""


def find_device(name: str | None) -> torch.device:
    """The device that `name` means; None: CUDA where there is one, else the CPU.

    Raises InputError for an unknown name, or a device that torch does not see.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0].lower()
    if kind not in DEVICES:
        raise InputError(
            f"unknown device '{name[:40]}'", hint=f"Known: {', '.join(DEVICES)}" + did_you_mean(name, DEVICES)
        )
    try:
        device = torch.device(name.lower())
    except RuntimeError as error:
        raise InputError(f"'{name[:40]}' names no device", hint="Example: cuda:1") from error
    seen = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if (device.index or 0) >= seen:
        have = [known for known in DEVICES if known == "cpu" or (known == "cuda" and torch.cuda.is_available())]
        raise InputError(f"torch {torch.__version__} sees no device {name}", hint=f"It sees: {', '.join(have)}")
    if kind == "cuda":
        device = torch.device(kind, device.index or 0)
        torch.cuda.set_device(device)
    return device


def environment(device: torch.device | str) -> dict[str, Any]:
    """The conditions as plain data; what the system does not tell is None."""
    device = torch.device(device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found: dict[str, Any] = {
        "device": device.type,
        "device_name": device_name(device),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "processors": _processors(),
        "load_average": load,
        "last_level_cache_bytes": last_level_cache_bytes(device),
        "memory_bytes": memory_bytes(device)[1],
        "memory_free_bytes": memory_bytes(device)[0],
    }
    if device.type == "cuda":
        found |= _cuda(device)
    return found


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes(device: torch.device) -> tuple[int, int]:
    """Free and total memory of the device in bytes; of a CPU, what the system says can be had without swapping."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = (line.split() for line in meminfo.read_text().splitlines())
        found = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
        total = found["MemTotal"]
        return min(found.get("MemAvailable", total), _group_limit() or total), total
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**33
    return total // 2, total


def _group_limit() -> int | None:
    """What a container's limit leaves, where there is one."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cuda(device: torch.device) -> dict[str, Any]:
    """What torch and nvidia-smi tell of a CUDA device."""
    seen = torch.cuda.get_device_properties(device)
    identity = f"GPU-{seen.uuid}" if getattr(seen, "uuid", None) else str(device.index or 0)
    values = _nvidia_smi(["--query-gpu=" + ",".join(_GPU_FIELDS.values()), "-i", identity])
    told = dict(zip(_GPU_FIELDS, values[0] if values else [], strict=False))
    found: dict[str, Any] = {name: _figure(name, told.get(name, "")) for name in _GPU_FIELDS}
    reasons = _nvidia_smi(["--query-gpu=clocks_event_reasons.active", "-i", identity])
    others = _nvidia_smi(["--query-compute-apps=pid,used_memory", "-i", identity])
    return found | {
        "compute_capability": f"{seen.major}.{seen.minor}",
        "sm_count": seen.multi_processor_count,
        "cuda": torch.version.cuda,
        "throttling": _reasons(reasons[0][0]) if reasons else None,
        "other_processes": len([row for row in others if row[0] != str(os.getpid())]) if others is not None else None,
    }


def _figure(name: str, text: str) -> float | str | None:
    """A number in SI units where nvidia-smi prints one; clocks come in MHz."""
    try:
        value = float(text)
    except ValueError:
        return None if not text or text.startswith("[") else text
    return value * 1e6 if name.endswith("_hz") else text if name == "driver" else value


def _reasons(text: str) -> list[str] | None:
    try:
        bits = int(text, 16)
    except ValueError:
        return None
    return [reason for bit, reason in _THROTTLING.items() if bits & bit]


def _nvidia_smi(arguments: list[str]) -> list[list[str]] | None:
    """Rows of cells; None where the tool is missing or refuses."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        done = subprocess.run(
            [tool, *arguments, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def noise(device: torch.device | str) -> float:
    """Spread of equal pieces of work: (p90 - p10) / median of 30 matrix products."""
    device = torch.device(device)
    size = 2048 if device.type != "cpu" else 384
    matrix = torch.randn(size, size, device=device)
    found = measure(lambda: matrix.mm(matrix), device, min_samples=30, budget_seconds=1.0)
    return (found.p90 - found.p10) / found.median


def doubts(found: dict[str, Any], spread: float | None = None) -> list[Note]:
    """What in the conditions makes a measurement less trustworthy; `spread` is what `noise` gave."""
    warnings = []
    load, processors = found["load_average"], found["processors"]
    if found["device"] == "cpu" and load is not None and load > BUSY_LOAD * processors:
        text = f"others use this machine: load average {load:.1f} on {processors} processors before measuring"
        warnings.append(Note(code="busy-machine", text=text))
    if spread is not None and spread > NOISY:
        text = f"equal pieces of work took times that differ by {100 * spread:.0f} % (p90 - p10): a noisy machine"
        warnings.append(Note(code="noisy-machine", text=text))
    if found.get("other_processes"):
        text = f"{found['other_processes']} other processes use this GPU"
        warnings.append(Note(code="shared-gpu", text=text))
    if found.get("throttling"):
        text = f"the GPU runs at lower clocks: {', '.join(found['throttling'])}"
        warnings.append(Note(code="throttling", text=text))
    return warnings
