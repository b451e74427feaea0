"""Micro-benchmarks: one kernel each, on weights that no cache holds, as a row of shapes, bytes and seconds.

A benchmark goes round copies of its operand whose sum is more than three times the last-level cache, so that every
call finds its weights or its KV cache in memory, as a layer of a model does. On a GPU one round is one CUDA graph; the
row says whether it was (`method`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from sparsecalc.measure.machine.stopwatch import last_level_cache_bytes, measure, quantile

COLD = 3
"""The copies of an operand together are more than this many times the last-level cache."""
MOST_COPIES = 256
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32, "fp8": torch.float8_e4m3fn}
"""Number formats (data/formats.json) that torch multiplies by itself."""


@dataclass(frozen=True)
class Work:
    """`run` does the operation `repeats` times; `more` is what only the built benchmark knows (experts touched)."""

    run: Callable[[], Any]
    repeats: int = 1
    more: dict[str, Any] = field(default_factory=dict)
    graph: bool = True
    """False where it cannot be captured, or where launches one by one are what is asked for."""
    cold: bool = False
    """Whether all caches are emptied before every run."""
    marked: Callable[[], float] | None = None
    """Seconds of the last run between marks of its own; they count instead of the whole run's."""
    outside: bool = False
    """Whether what lies outside the marks counts."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: the row's shapes, and how it is built on a device."""

    row: dict[str, Any]
    build: Callable[[torch.device], Work]

    @property
    def name(self) -> str:
        """`gemm m=64 n=4096 k=4096 dtype=bf16`, for progress and messages."""
        return " ".join([str(self.row["op"]), *(f"{key}={value}" for key, value in self.row.items() if key != "op")])

    def is_row(self, row: dict[str, Any]) -> bool:
        """Whether `row` is this benchmark's result."""
        return all(row.get(key) == value for key, value in self.row.items())


def run_case(case: Benchmark, device: torch.device, budget_seconds: float) -> dict[str, Any]:
    """The case's row: shapes, `seconds` of one operation (median), `samples`, `rejected`, `repeats`, `method`."""
    with torch.inference_mode():
        work = case.build(device)
        marked = work.marked or (lambda: 0.0)
        parts: list[float] = []
        found = measure(
            work.run,
            device,
            after=lambda: parts.append(marked()),
            budget_seconds=budget_seconds,
            cold=work.cold,
            graph=work.graph,
        )
    kept = [parts[index] for index in found.kept]
    if work.marked and not work.outside:
        samples = kept
    else:
        samples = [(seconds - part) / work.repeats for seconds, part in zip(found.seconds, kept, strict=True)]
    return {
        **case.row,
        **work.more,
        "seconds": quantile(samples, 0.5),
        "samples": samples,
        "rejected": found.rejected,
        "repeats": work.repeats,
        "method": found.method,
    }


def each(operation: Callable[..., Any], operands: Sequence[tuple[Any, ...]], **more: Any) -> Work:
    """The operation on one operand after the other; results are dropped at once, as a model drops them."""

    def run() -> None:
        for operand in operands:
            operation(*operand)

    return Work(run, len(operands), **more)


def random_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, scale: float = 0.02) -> Any:
    """Normal values, never zeros (they draw less power); a block of them is repeated, which is quick to fill."""
    size = torch.Size(shape).numel()
    block = torch.randn(min(size, 2**20), device=device).mul_(scale).to(dtype)
    found = torch.empty(size, dtype=dtype, device=device)
    whole = size // block.numel() * block.numel()
    found[:whole].view(-1, block.numel()).copy_(block)
    found[whole:].copy_(block[: size - whole])
    return found.view(shape)


def copies_for(nbytes: int, device: torch.device) -> int:
    """How many copies of an operand of `nbytes` are more than COLD times the last-level cache."""
    return min(MOST_COPIES, ceil(COLD * last_level_cache_bytes(device) / nbytes) + 1)


def copy_case(nbytes: int) -> Benchmark:
    """Device memory to device memory: `bytes` are read, and as many written."""

    def build(device: torch.device) -> Work:
        sources = [random_tensor((nbytes // 4,), torch.float32, device) for _ in range(copies_for(2 * nbytes, device))]
        return each(torch.Tensor.copy_, [(torch.empty_like(source), source) for source in sources])

    return Benchmark({"op": "copy", "bytes": nbytes}, build)


def launch_case(graph: bool) -> Benchmark:
    """The least that a kernel costs: one element, 200 times; `how` is a CUDA graph's replay or eager calls."""

    def build(device: torch.device) -> Work:
        element = torch.ones(1, device=device)

        def run() -> None:
            for _ in range(200):
                element.add_(1.0)

        return Work(run, 200, graph=graph)

    return Benchmark({"op": "launch", "how": "graph" if graph else "eager"}, build)


def gemm_case(m: int, n: int, k: int, dtype: str) -> Benchmark:
    """`torch.nn.Linear`'s product: M x K activations with an N x K weight."""

    def build(device: torch.device) -> Work:
        size = torch.finfo(DTYPES[dtype]).bits // 8
        weights = [random_tensor((n, k), DTYPES[dtype], device) for _ in range(copies_for(n * k * size, device))]
        inputs = random_tensor((m, k), DTYPES[dtype], device, 1.0)
        multiply = _scaled_product(device) if dtype == "fp8" else functional.linear
        return each(multiply, [(inputs, weight) for weight in weights])

    return Benchmark({"op": "gemm", "m": m, "n": n, "k": k, "dtype": dtype}, build)


def _scaled_product(device: torch.device) -> Callable[[Any, Any], Any]:
    """FP8 times FP8 with one scale per tensor, as torch runs it."""
    one = torch.ones((), device=device)
    return lambda a, b: torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


@dataclass(frozen=True)
class HeadShape:
    """An attention's heads."""

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int


def cache_bytes(heads: HeadShape, tokens: int, dtype: str) -> int:
    """Bytes of the keys and values of one layer: 2 * tokens * key-value heads * head_dim * bytes per element."""
    return 2 * tokens * heads.num_key_value_heads * heads.head_dim * torch.finfo(DTYPES[dtype]).bits // 8


def attention_case(heads: HeadShape, batch_size: int, context_len: int, dtype: str, *, prefill: bool) -> Benchmark:
    """transformers' own call of torch's scaled_dot_product_attention, without a mask.

    Decode: one query per sequence, which sees `context_len` keys. Prefill: `context_len` queries, causal.
    """
    nbytes = cache_bytes(heads, batch_size * context_len, dtype)
    new = context_len if prefill else 1

    def build(device: torch.device) -> Work:
        keys = (batch_size, heads.num_key_value_heads, context_len, heads.head_dim)
        count = 1 if prefill else copies_for(nbytes, device)
        caches = [(random_tensor(keys, DTYPES[dtype], device, 1.0), random_tensor(keys, DTYPES[dtype], device, 1.0))]
        caches += [(caches[0][0].clone(), caches[0][1].clone()) for _ in range(count - 1)]
        query = random_tensor((batch_size, heads.num_attention_heads, new, heads.head_dim), DTYPES[dtype], device, 1.0)
        groups = heads.num_attention_heads // heads.num_key_value_heads
        module: Any = SimpleNamespace(num_key_value_groups=groups, is_causal=True, training=False, layer_idx=0)
        return each(sdpa_attention_forward, [(module, query, key, value, None) for key, value in caches])

    row = {"op": "attention_prefill" if prefill else "attention_decode", "batch_size": batch_size}
    row |= {"context_len": context_len, "num_attention_heads": heads.num_attention_heads}
    row |= {"num_key_value_heads": heads.num_key_value_heads, "head_dim": heads.head_dim, "dtype": dtype}
    return Benchmark(row, build)


class _Counted(TorchDispatchMode):  # type: ignore[misc]
    """Kernels that a call launches, and the bytes of their inputs and outputs; views launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.nbytes = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.kernels += 1
            tensors = [value for value in (*args, found) if isinstance(value, torch.Tensor)]
            self.nbytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return found


def elementwise_case(what: str, tokens: int, width: int, dtype: str) -> Benchmark:
    """`rms_norm` as transformers computes it, kernel by kernel, or `silu_mul`, the gate of an MLP.

    `bytes` are those of all inputs and outputs of the `kernels` that torch launches.
    """

    def build(device: torch.device) -> Work:
        size = tokens * width * torch.finfo(DTYPES[dtype]).bits // 8
        inputs = [random_tensor((tokens, width), DTYPES[dtype], device, 1.0)]
        inputs += [inputs[0].clone() for _ in range(copies_for(size, device) - 1)]
        norm = LlamaRMSNorm(width).to(device, DTYPES[dtype])

        def gate(x: Any) -> Any:
            return functional.silu(x) * x

        operation = norm if what == "rms_norm" else gate
        with _Counted() as counted:
            operation(inputs[0])
        more = {"bytes": counted.nbytes, "kernels": counted.kernels}
        return each(operation, [(x,) for x in inputs], more=more)

    return Benchmark({"op": "elementwise", "what": what, "tokens": tokens, "width": width, "dtype": dtype}, build)
