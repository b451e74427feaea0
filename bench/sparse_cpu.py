"""Unstructured (CSR) and block-sparse (BSR) weights on this CPU: where they overtake the dense product, and where the
counts of bytes and FLOPs say that they should.

    python bench/sparse_cpu.py [--output bench/results/sparse-cpu-DATE.json]
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sparsecalc.measure.calibrate.benchmark import run_benchmark
from sparsecalc.measure.calibrate.kernel_benchmarks import gemm_benchmark
from sparsecalc.measure.machine.conditions import machine_conditions
from sparsecalc.measure.timing.sparse_kernels import BLOCK, DENSITIES, Sizes, break_even, compare_kernels

INDEX_BYTES = 4


def predicted_break_even(technique: str, sizes: Sizes, tokens: int, bytes_per_second: float, peak: float) -> float:
    """The density at which sparse and dense are equally fast if each is as fast as its bytes and FLOPs allow.

        dense   max(rows * cols * w / BW, 2 * rows * cols * tokens / F)
        sparse  max(d * rows * cols * (w + index) / BW, d * 2 * rows * cols * tokens / F)

    index: 4 bytes per element (CSR) or per block of BLOCK x BLOCK elements (BSR); the row pointers vanish.
    """
    width = 4
    index = INDEX_BYTES if technique == "csr" else INDEX_BYTES / BLOCK**2
    dense = max(width / bytes_per_second, 2 * tokens / peak)
    return dense / max((width + index) / bytes_per_second, 2 * tokens / peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=1.0, help="time given to one kernel")
    asked = parser.parse_args()
    device = torch.device("cpu")
    sizes = Sizes(asked.side, asked.side, (1, 64), DENSITIES, "fp32", budget_seconds=asked.seconds)
    read = run_benchmark(gemm_benchmark(1, asked.side, asked.side, "fp32"), device, asked.seconds)["seconds"]
    bytes_per_second = asked.side**2 * 4 / read
    large = run_benchmark(gemm_benchmark(512, asked.side, asked.side, "fp32"), device, asked.seconds)["seconds"]
    peak = 2 * 512 * asked.side**2 / large
    every_row: list[dict[str, Any]] = []
    print(f"dense weights are read at {bytes_per_second / 1e9:.1f} GB/s; products reach {peak / 1e9:.0f} GFLOP/s")
    print("| kernel | tokens | speed-up at density " + " | ".join(map(str, DENSITIES)) + " | break-even | predicted |")
    print("|---" * (len(DENSITIES) + 4) + "|")
    for technique in ("csr", "bsr"):
        rows = compare_kernels(technique, device, sizes)
        every_row += rows
        for tokens in sizes.tokens:
            own = [row for row in rows if row["tokens"] == tokens]
            crossing = break_even(own)
            expected = predicted_break_even(technique, sizes, tokens, bytes_per_second, peak)
            cells = [technique, str(tokens), *(f"{row['speedup']:.2f}" for row in own)]
            beyond = f"above {DENSITIES[-1]}" if own[-1]["speedup"] >= 1 else f"below {DENSITIES[0]}"
            cells += [beyond if crossing is None else f"{crossing:.2f}", f"{expected:.2f}"]
            print(f"| {' | '.join(cells)} |")
    if asked.output:
        document = {"date": datetime.now(UTC).date().isoformat(), "environment": machine_conditions(device)}
        document |= {"bytes_per_second": bytes_per_second, "flops_per_second": peak, "rows": every_row}
        Path(asked.output).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
