"""On a CUDA device: a bare cuBLAS loop against the harness, and sparse kernels against their dense twins.

python bench/gpu_kernels.py harness|sparse [--output FILE]
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import torch

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.measure.calibrate.benchmark import run_benchmark
from sparsecalc.measure.calibrate.expert_benchmarks import built_in_config
from sparsecalc.measure.calibrate.kernel_benchmarks import gemm_benchmark
from sparsecalc.measure.machine.conditions import machine_conditions
from sparsecalc.measure.machine.random_tensors import random_tensor
from sparsecalc.measure.timing.sparse_kernels import Sizes, break_even, compare_kernels

SHAPES = ((8192, 8192, 8192), (4096, 4096, 4096), (1024, 8192, 8192), (256, 8192, 8192), (16, 8192, 8192))
CALLS = 20


def bare_seconds(m: int, n: int, k: int) -> float:
    """Median of calls of torch.mm one after the other, between two CUDA events each, and nothing else."""
    device = torch.device("cuda")
    inputs = random_tensor((m, k), torch.bfloat16, device, 1.0)
    weights = [random_tensor((n, k), torch.bfloat16, device) for _ in range(4)]
    samples = []
    for index in range(5 + CALLS):
        begin, finish = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        torch.mm(inputs, weights[index % 4].t())
        finish.record()
        finish.synchronize()
        samples.append(begin.elapsed_time(finish) / 1e3)
    return median(samples[5:])


def harness() -> list[dict[str, Any]]:
    rows = []
    for m, n, k in SHAPES:
        bare = bare_seconds(m, n, k)
        row = run_benchmark(gemm_benchmark(m, n, k, "bf16"), torch.device("cuda"), 0.5)
        rate = 2 * m * n * k / 1e12
        rows.append({**row, "bare_seconds": bare, "bare_over_harness": bare / row["seconds"]})
        print(f"{m} x {n} x {k}: bare {rate / bare:.0f} TFLOP/s, harness {rate / row['seconds']:.0f} TFLOP/s")
    return rows


def sparse() -> list[dict[str, Any]]:
    """Up and down projections of a dense model at many tokens (2:4), and at few (the others)."""
    config = built_in_config("llama-3.1-8b")
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    many = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    asked = [
        ("2:4", Sizes(rows, cols, many, (0.5,), "bf16", budget_seconds=0.1))
        for rows, cols in ((2 * inner, hidden), (hidden, inner), (hidden, hidden))
    ]
    few = Sizes(hidden, hidden, (1, 16), (0.01, 0.05, 0.1, 0.25, 0.5), "bf16", budget_seconds=0.1)
    asked += [(technique, few) for technique in ("heads", "neurons", "block", "csr", "bsr")]
    every_row: list[dict[str, Any]] = []
    for technique, sizes in asked:
        try:
            rows = compare_kernels(technique, "cuda", sizes)
        except SparsecalcError as error:
            print(f"left out: {error}")
            continue
        every_row += rows
        for tokens in sizes.tokens:
            own = [row for row in rows if row["tokens"] == tokens]
            speedups = ", ".join(f"{row['density']}: {row['speedup']:.2f}" for row in own)
            print(f"{technique} {sizes.rows} x {sizes.cols}, {tokens} tokens: {speedups}; even at {break_even(own)}")
    return every_row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("harness", "sparse"))
    parser.add_argument("--output")
    asked = parser.parse_args()
    with torch.inference_mode():
        rows = harness() if asked.what == "harness" else sparse()
    if asked.output:
        document = {"command": asked.what, "environment": machine_conditions("cuda"), "rows": rows}
        Path(asked.output).write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
