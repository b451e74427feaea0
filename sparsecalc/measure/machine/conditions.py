"""The conditions of a measurement: device, versions, clocks, power limit, other users of the machine, noise."""

import os
import platform
from typing import Any

import torch
import transformers

from sparsecalc.core.notes import Note
from sparsecalc.measure.machine.device import device_name, last_level_cache_bytes, memory_bytes
from sparsecalc.measure.machine.nvidia_smi import gpu_conditions
from sparsecalc.measure.machine.stopwatch import take_samples

NOISY = 0.15
"""Spread (p90 - p10) / median of equal pieces of work above which a machine is called noisy."""
BUSY_LOAD = 0.5
"""Load average per processor, before measuring, above which others are using the machine."""


def machine_conditions(device: torch.device | str) -> dict[str, Any]:
    """The conditions as plain data; what the system does not tell is None."""
    device = torch.device(device)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    conditions: dict[str, Any] = {
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
        conditions |= gpu_conditions(device)
    return conditions


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def noise(device: torch.device | str) -> float:
    """Spread of equal pieces of work: (p90 - p10) / median of 30 matrix products."""
    device = torch.device(device)
    size = 2048 if device.type != "cpu" else 384
    matrix = torch.randn(size, size, device=device)
    samples = take_samples(lambda: matrix.mm(matrix), device, min_samples=30, budget_seconds=1.0)
    return (samples.p90 - samples.p10) / samples.median


def doubts(conditions: dict[str, Any], spread: float | None = None) -> list[Note]:
    """What in the conditions makes a measurement less trustworthy; `spread`: what `noise` gave."""
    warnings = []
    load, processors = conditions["load_average"], conditions["processors"]
    if conditions["device"] == "cpu" and load is not None and load > BUSY_LOAD * processors:
        text = f"others use this machine: load average {load:.1f} on {processors} processors before measuring"
        warnings.append(Note(code="busy-machine", text=text))
    if spread is not None and spread > NOISY:
        text = f"equal pieces of work took times that differ by {100 * spread:.0f} % (p90 - p10): a noisy machine"
        warnings.append(Note(code="noisy-machine", text=text))
    if conditions.get("other_processes"):
        text = f"{conditions['other_processes']} other processes use this GPU"
        warnings.append(Note(code="shared-gpu", text=text))
    if conditions.get("throttling"):
        text = f"the GPU runs at lower clocks: {', '.join(conditions['throttling'])}"
        warnings.append(Note(code="throttling", text=text))
    return warnings
