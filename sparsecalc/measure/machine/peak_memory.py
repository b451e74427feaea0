"""How much memory a run really takes."""

import ctypes
import gc
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Bytes by which the peak exceeds what the process held when this was made.

    CUDA: torch's allocator. CPU: the highest resident size since `reset` (Linux), or since the start of the process.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        give_back()
        self.base = torch.cuda.memory_allocated(device) if device.type == "cuda" else _resident("VmRSS")

    def reset(self) -> None:
        """Forget earlier peaks."""
        give_back()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif _CLEAR.exists():
            try:
                _CLEAR.write_text("5")  # man 5 proc: resets the peak resident size
            except OSError:
                self.base = None

    def peak_bytes(self) -> int | None:
        """The growth; None where the system does not tell."""
        now = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else _resident("VmHWM")
        return None if now is None or self.base is None else now - self.base


def give_back() -> None:
    """Return freed memory to the system, where the C library can: what was freed before counts for no run."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _resident(key: str) -> int | None:
    if sys.platform != "linux" or not _STATUS.exists():
        return None
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:")), None)
    return int(line.split()[1]) * 1024 if line else None
