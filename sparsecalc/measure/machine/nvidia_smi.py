"""What torch and nvidia-smi tell about a CUDA device: driver, clocks, power, other processes, why it is slowed down."""

import os
import shutil
import subprocess
from typing import Any

import torch

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


def gpu_conditions(device: torch.device) -> dict[str, Any]:
    """The conditions of a CUDA device as plain data; None where the tool does not tell."""
    properties = torch.cuda.get_device_properties(device)
    identity = f"GPU-{properties.uuid}" if getattr(properties, "uuid", None) else str(device.index or 0)
    values = _nvidia_smi(["--query-gpu=" + ",".join(_GPU_FIELDS.values()), "-i", identity])
    told = dict(zip(_GPU_FIELDS, values[0] if values else [], strict=False))
    figures: dict[str, Any] = {name: figure(name, told.get(name, "")) for name in _GPU_FIELDS}
    reasons = _nvidia_smi(["--query-gpu=clocks_event_reasons.active", "-i", identity])
    others = _nvidia_smi(["--query-compute-apps=pid,used_memory", "-i", identity])
    return figures | {
        "compute_capability": f"{properties.major}.{properties.minor}",
        "sm_count": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "throttling": throttling(reasons[0][0]) if reasons else None,
        "other_processes": len([row for row in others if row[0] != str(os.getpid())]) if others is not None else None,
    }


def figure(name: str, text: str) -> float | str | None:
    """A number in SI units where nvidia-smi prints one; clocks come in MHz."""
    try:
        value = float(text)
    except ValueError:
        return None if not text or text.startswith("[") else text
    return value * 1e6 if name.endswith("_hz") else text if name == "driver" else value


def throttling(text: str) -> list[str] | None:
    """Why clocks are lower than they could be, from the bits that nvidia-smi prints in hexadecimal."""
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
