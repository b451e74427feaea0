"""Devices that torch computes on: by name, and what they have."""

import os
import platform
from functools import cache
from pathlib import Path

import torch

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean

DEVICES = ("cpu", "cuda", "mps")


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
        sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
        total = sizes["MemTotal"]
        return min(sizes.get("MemAvailable", total), _group_limit() or total), total
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**33
    return total // 2, total


def _group_limit() -> int | None:
    """What a container's limit leaves, where there is one."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@cache
def last_level_cache_bytes(device: torch.device) -> int:
    """Bytes of the largest cache in front of the memory; 32 MiB where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    paths = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((kernel_bytes(path.read_text().strip()) for path in paths), default=32 * 2**20)


def kernel_bytes(text: str) -> int:
    """A size as Linux writes it: `32768K` is 33,554,432."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    return int(text.rstrip("KMG")) * units.get(text[-1:], 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "not enough memory" in str(error) or "out of memory" in str(error).lower()
