"""Which sizes are benchmarked on which kind of device.

32 random matrix shapes per number format reach the floor of what the formulas can fit; fewer chosen by hand do worse
than built-in constants. Half of them have at most 64 rows, where decoding works.
"""

import random
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

import torch

from sparsecalc.measure.calibrate.benchmark import Benchmark
from sparsecalc.measure.calibrate.eager_benchmarks import MODEL_TYPES, eager_benchmark
from sparsecalc.measure.calibrate.expert_benchmarks import built_in_config, experts_benchmark
from sparsecalc.measure.calibrate.kernel_benchmarks import (
    HeadShape,
    attention_benchmark,
    cache_bytes,
    copy_benchmark,
    elementwise_benchmark,
    gemm_benchmark,
    launch_benchmark,
)

MEMORY_SHARE = 0.3
"""Of the free memory, what one benchmark's operands may take."""
FEW_ROWS = 64
"""Most rows of every other matrix product."""
EVERY = 8
"""Every so many of the matrix products have a single row, where one sequence decodes."""


@dataclass(frozen=True)
class Plan:
    """Which sizes are measured. Lengths in tokens, `copies` in bytes."""

    gemms: int
    most_rows: int
    sides: tuple[int, int]
    """Smallest and largest N and K."""
    dtypes: tuple[str, ...]
    copies: tuple[int, ...]
    decode: tuple[tuple[int, int], ...]
    """Batch and context."""
    prefill: tuple[int, ...]
    moe_tokens: tuple[int, ...]
    elementwise_tokens: tuple[int, ...]
    graphs: bool = False
    """Whether the device has graphs of kernels."""
    attention_of: tuple[str, ...] = ("llama-3.1-8b", "olmoe-1b-7b", "llama-3.2-1b")
    """Built-in models whose heads are measured."""
    experts_of: tuple[str, ...] = ("qwen3-30b-a3b", "mixtral-8x7b", "olmoe-1b-7b")
    seconds: float = 2.0
    """Time given to one benchmark."""


MIB = 2**20
CPU = Plan(
    gemms=32,
    most_rows=512,
    sides=(512, 8192),
    dtypes=("bf16", "fp32"),
    copies=(MIB, 16 * MIB, 256 * MIB),
    decode=((1, 1024), (1, 8192), (8, 1024), (8, 4096), (32, 1024)),
    prefill=(128, 512, 1024, 2048),
    moe_tokens=(1, 2, 4, 8, 16, 64, 256),
    elementwise_tokens=(1, 64, 512),
)
QUICK_CPU = replace(
    CPU,
    gemms=16,
    most_rows=256,
    sides=(512, 4096),
    dtypes=("bf16",),
    decode=((1, 1024), (8, 1024), (8, 4096)),
    prefill=(128, 256, 512),
    moe_tokens=(1, 8, 64, 256),
    elementwise_tokens=(1, 64, 512),
    seconds=0.5,
)
GPU = Plan(
    graphs=True,
    gemms=32,
    most_rows=8192,
    sides=(1024, 16384),
    dtypes=("bf16", "fp8"),
    copies=(MIB, 16 * MIB, 256 * MIB, 1024 * MIB),
    decode=tuple((batch, context) for batch in (1, 8, 64) for context in (1024, 4096, 16384, 65536)),
    prefill=(512, 1024, 2048, 4096, 8192, 16384),
    moe_tokens=(1, 2, 4, 8, 16, 32, 128, 512, 2048),
    elementwise_tokens=(1, 64, 2048),
    seconds=0.5,
)
QUICK_GPU = replace(
    GPU,
    gemms=16,
    dtypes=("bf16",),
    decode=((1, 4096), (8, 4096), (64, 4096)),
    prefill=(512, 2048, 8192),
    moe_tokens=(1, 8, 64, 512),
    seconds=0.2,
)


def plan_for(device: torch.device, quick: bool) -> Plan:
    """The sizes for this kind of device; FP8 only where the device multiplies it."""
    if device.type != "cuda":
        return QUICK_CPU if quick else CPU
    plan = QUICK_GPU if quick else GPU
    if torch.cuda.get_device_capability(device) < (8, 9):
        plan = replace(plan, dtypes=tuple(dtype for dtype in plan.dtypes if dtype != "fp8"))
    return plan


def planned_benchmarks(plan: Plan, free_bytes: int) -> list[Benchmark]:
    """The benchmarks of a plan that fit into the memory; kinds take turns, so that a short time budget serves all."""
    most = int(MEMORY_SHARE * free_bytes)
    kinds = [
        [copy_benchmark(nbytes) for nbytes in plan.copies if 2 * nbytes <= most],
        [launch_benchmark(graph) for graph in (False, True) if plan.graphs or not graph],
        [eager_benchmark(model_type, what) for model_type in MODEL_TYPES for what in ("layer", "rest")],
        *([gemm_benchmark(*shape, dtype) for shape in gemm_shapes(plan)] for dtype in plan.dtypes),
        _attention_benchmarks(plan, most),
        [experts_benchmark(name, tokens, "grouped_mm", most) for name in plan.experts_of for tokens in plan.moe_tokens],
        [
            elementwise_benchmark(what, tokens, built_in_config(name)["hidden_size"], "bf16")
            for what in ("rms_norm", "silu_mul")
            for name in plan.attention_of[:1]
            for tokens in plan.elementwise_tokens
        ],
    ]
    return [each for each in chain.from_iterable(zip_longest(*kinds)) if each is not None]


def gemm_shapes(plan: Plan, seed: int = 0) -> list[tuple[int, int, int]]:
    """M, N, K, log-uniform; every other M is at most FEW_ROWS; N and K are multiples of 128, as models have them."""
    draw = random.Random(seed)

    def between(low: float, high: float) -> int:
        return round(low * (high / low) ** draw.random())

    shapes = []
    for index in range(plan.gemms):
        rows = between(1, FEW_ROWS) if index % 2 == 0 else between(FEW_ROWS, plan.most_rows)
        rows = 1 if index % EVERY == 0 else rows
        shapes.append((rows, *(128 * max(1, round(between(*plan.sides) / 128)) for _ in range(2))))
    return shapes  # type: ignore[return-value]


def _attention_benchmarks(plan: Plan, most_bytes: int) -> list[Benchmark]:
    benchmarks = []
    for name in plan.attention_of:
        config = built_in_config(name)
        count = config["num_attention_heads"]
        heads = HeadShape(
            count, config["num_key_value_heads"], config.get("head_dim") or config["hidden_size"] // count
        )
        for batch_size, context_len in plan.decode:
            if 2 * cache_bytes(heads, batch_size * context_len, "bf16") <= most_bytes:
                benchmarks.append(attention_benchmark(heads, batch_size, context_len, "bf16", prefill=False))
        benchmarks += [attention_benchmark(heads, 1, context_len, "bf16", prefill=True) for context_len in plan.prefill]
    return benchmarks
