"""Benchmarks of one kind of kernel each: copies, launches, products, attention, elementwise operations."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from sparsecalc.measure.calibrate.benchmark import Benchmark, Work, copies_for, each
from sparsecalc.measure.machine.random_tensors import DTYPES, random_tensor


def copy_benchmark(nbytes: int) -> Benchmark:
    """Device memory to device memory: `bytes` are read, and as many written."""

    def build(device: torch.device) -> Work:
        sources = [random_tensor((nbytes // 4,), torch.float32, device) for _ in range(copies_for(2 * nbytes, device))]
        return each(torch.Tensor.copy_, [(torch.empty_like(source), source) for source in sources])

    return Benchmark({"op": "copy", "bytes": nbytes}, build)


def launch_benchmark(graph: bool) -> Benchmark:
    """The least that a kernel costs: one element, 200 times; `how` is a CUDA graph's replay or eager calls."""

    def build(device: torch.device) -> Work:
        element = torch.ones(1, device=device)

        def run() -> None:
            for _ in range(200):
                element.add_(1.0)

        return Work(run, 200, graph=graph)

    return Benchmark({"op": "launch", "how": "graph" if graph else "eager"}, build)


def gemm_benchmark(m: int, n: int, k: int, dtype: str) -> Benchmark:
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


def attention_benchmark(heads: HeadShape, batch_size: int, context_len: int, dtype: str, *, prefill: bool) -> Benchmark:
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


class _LaunchCounter(TorchDispatchMode):  # type: ignore[misc]
    """Kernels that a call launches, and the bytes of their inputs and outputs; views launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.nbytes = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.kernels += 1
            tensors = [value for value in (*args, result) if isinstance(value, torch.Tensor)]
            self.nbytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def elementwise_benchmark(what: str, tokens: int, width: int, dtype: str) -> Benchmark:
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
        with _LaunchCounter() as counted:
            operation(inputs[0])
        more = {"bytes": counted.nbytes, "kernels": counted.kernels}
        return each(operation, [(x,) for x in inputs], more=more)

    return Benchmark({"op": "elementwise", "what": what, "tokens": tokens, "width": width, "dtype": dtype}, build)
