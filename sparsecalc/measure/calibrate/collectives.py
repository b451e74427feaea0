"""Collectives among the ranks of a torch.distributed group: seconds by bytes, as the slowest rank sees them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.measure.machine.device import synchronize
from sparsecalc.measure.machine.samples import quantile

KIB, MIB = 2**10, 2**20
SIZES = {"cuda": (8 * KIB, 64 * KIB, 512 * KIB, 4 * MIB, 32 * MIB, 256 * MIB), "cpu": (8 * KIB, 256 * KIB, 4 * MIB)}
"""Bytes of one rank's tensor."""
SAMPLES = 20
SHORT_BYTES = MIB
"""Up to here one sample is ten calls, since one is too short for the clock."""


def collective_rows(device: torch.device, sizes: tuple[int, ...] | None = None) -> list[dict[str, Any]]:
    """All-reduce and all-to-all of every size, called from Python one after the other (no CUDA graph).

    `bytes` is what one rank holds: the tensor that is summed, or all that it sends, its own share among them.
    Every rank of the group must call this; every rank gets the rows.
    """
    rows = []
    for nbytes in sizes or SIZES[device.type]:
        elements = max(1, nbytes // 4 // dist.get_world_size()) * dist.get_world_size()
        given, taken = torch.ones(elements, device=device), torch.empty(elements, device=device)
        operations: dict[str, Callable[[], Any]] = {
            "all_reduce": lambda given=given: dist.all_reduce(given),  # type: ignore[misc]
            "all_to_all": lambda given=given, taken=taken: dist.all_to_all_single(taken, given),  # type: ignore[misc]
        }
        repeats = 10 if nbytes <= SHORT_BYTES else 1
        for name, operation in operations.items():
            samples = [seconds / repeats for seconds in slowest(operation, device, SAMPLES, repeats)]
            row = {"op": name, "ranks": dist.get_world_size(), "bytes": elements * 4, "backend": dist.get_backend()}
            rows.append({**row, "seconds": quantile(samples, 0.5), "samples": samples})
    return rows


def slowest(run: Callable[[], Any], device: torch.device, samples: int, repeats: int = 1) -> list[float]:
    """Seconds of `repeats` calls, begun together on all ranks, of the slowest rank; the first three are thrown away."""
    mine = torch.tensor([seconds_of(run, device, repeats) for _ in range(3 + samples)], dtype=torch.float64)
    mine = mine.to(device)
    dist.all_reduce(mine, dist.ReduceOp.MAX)
    return [float(seconds) for seconds in mine[3:]]


def seconds_of(run: Callable[[], Any], device: torch.device, repeats: int = 1) -> float:
    """Seconds of `repeats` calls on this rank, begun when every rank is ready."""
    synchronize(device)
    dist.barrier()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronize(device)
    return time.perf_counter() - start


def measure_collectives(ranks: int, timeout_seconds: float = 180.0) -> list[dict[str, Any]]:
    """`collective_rows` of `ranks` processes on this machine, which torchrun starts. Raises SparsecalcError."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command += ["-m", "sparsecalc.measure.timing.ranks", "--parts", "collectives", "--output", str(out)]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise SparsecalcError(f"torchrun with {ranks} ranks failed ({type(error).__name__})") from error
        rows: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["rows"]
        return rows
