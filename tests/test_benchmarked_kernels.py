"""Kernels by their shapes, with counts worked by hand: the formulas are those of a model's step, one op at a time."""

from typing import Any

import numpy as np
import pytest

from sparsecalc.estimate.benchmarked_kernels import (
    Operands,
    benchmarked_kernel,
    benchmarked_kernels,
    decode_attention,
    elementwise,
    experts,
    gemm,
    latent_attention,
    prefill_attention,
)
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.read.number_formats import number_format


def operands(stored: str = "bf16", form: str = "bf16", dtype: str = "bf16") -> Operands:
    return Operands(form=form, dtype=dtype, stored=number_format(stored))


def counts(kernel: Kernel, **wanted: float) -> None:
    assert {name: getattr(kernel, name) for name in wanted} == pytest.approx(wanted)


def test_a_product() -> None:
    """8 rows, a weight of 4096 x 1024: 2 * 8 * 4096 * 1024 FLOPs; activations 8 * (1024 + 4096) * 2 bytes."""
    kernel = gemm(8, 4096, 1024, operands())
    counts(kernel, flops=67_108_864, weight_bytes=2 * 4096 * 1024, activation_bytes=81_920, extent=8, speedup=1)
    assert (kernel.family, kernel.form, kernel.dtype, kernel.cache_bytes) == ("gemm", "bf16", "bf16", 0)


def test_scales_are_spread_over_the_weights() -> None:
    """fp8-block: 8 bits and 4 bytes per 128 x 128, 8 + 32 / 16384 bits an element; nvfp4: 4 bits and 1 byte per 16."""
    block = gemm(1, 4096, 4096, operands("fp8-block", "fp8-block", "fp8"))
    counts(block, weight_bytes=4096 * 4096 + 32 * 32 * 4)
    nvfp4 = gemm(1, 4096, 4096, operands("nvfp4", "nvfp4", "fp4"))
    counts(nvfp4, weight_bytes=4096 * 4096 / 2 + 4096 * 4096 / 16)
    assert (nvfp4.form, nvfp4.dtype) == ("nvfp4", "fp4")
    assert gemm(1, 4096, 4096, operands("int4", "weight-only")).form == "weight-only"


def test_a_layer_of_experts() -> None:
    """H 4, I 3: an expert has 3 * 4 * 3 = 36 elements. 10 tokens select 2 each; 12 pairs on 5 experts are here.

    flops     2 * 36 * 12
    padding   36 * 5 experts * a tile of 16 rows
    weights   5 * 36 * 2 bytes
    moved     2 * 12 pairs * (4 in + 2 * 3 out + 3 in + 4 out)
    between   2 * (20 pairs * (2 * 3 + 4 + 3) + 10 tokens * 4)
    """
    kernel = experts(10, 4, 3, 2, 12, 5, operands())
    counts(kernel, flops=864, padding_flops=2880, weight_bytes=360, activation_bytes=408, vector_bytes=600)
    counts(kernel, distinct=5, extent=12 / 5)


def test_decode_attention() -> None:
    """2 sequences of 100 tokens, 8 query and 2 key-value heads of 16; the cache in fp8.

    flops     2 * 2 * 100 * 8 * (16 + 16);   cache  2 * 100 * 2 * (16 + 16) bytes;   moved  2 * 2 * 8 * (16 + 16)
    """
    kernel = decode_attention(2, 100, 8, 2, 16, operands("fp8", "fp8"))
    counts(kernel, flops=102_400, cache_bytes=12_800, activation_bytes=1024, rows_per_cache_head=4)
    assert (kernel.family, kernel.form, kernel.dtype) == ("attention_decode", "fp8", "bf16")


def test_latent_attention() -> None:
    """2 sequences of 100 tokens, 8 heads over a latent of 32 and 4 rotary elements, shared by all heads.

    flops     2 * 2 * 100 * 8 * (2 * 32 + 4);   cache  2 * 100 * (32 + 4) * 2 bytes;   moved  2 * 2 * 8 * (2 * 32 + 4)
    """
    kernel = latent_attention(2, 100, 8, 32, 4, operands())
    counts(kernel, flops=217_600, cache_bytes=14_400, activation_bytes=2176)
    assert kernel.family == "latent_decode"


def test_prefill_attention() -> None:
    """3 prompts of 10 tokens, 8 heads of 16: 3 * 10 * 11 / 2 pairs; flops 2 * 165 * 8 * (16 + 16)."""
    kernel = prefill_attention(3, 10, 8, 16, operands())
    counts(kernel, flops=84_480, cache_bytes=0, activation_bytes=2 * 3 * 10 * 8 * 32, extent=10)
    assert kernel.family == "attention_prefill"


def test_elementwise_kernels() -> None:
    counts(elementwise(1000, 3, operands()), activation_bytes=1000, launches=3, flops=0)


ROWS: dict[str, list[dict[str, Any]]] = {
    "gemm": [{"m": m, "n": n, "k": 64} for m, n in ((1, 128), (5, 128), (5, 256))],
    "experts": [
        {"tokens": t, "hidden_size": 8, "moe_intermediate_size": 4, "num_experts_per_tok": 2, "pairs": p, "distinct": d}
        for t, p, d in ((1, 2, 2), (40, 30.5, 6.25))
    ],
    "attention_decode": [
        {"batch_size": b, "context_len": 9, "num_attention_heads": n, "num_key_value_heads": 2, "head_dim": 8}
        for b, n in ((1, 2), (3, 4))
    ],
}


@pytest.mark.parametrize("family", ROWS)
def test_rows_become_one_kernel_of_arrays(family: str) -> None:
    together = benchmarked_kernels(family, ROWS[family], operands())
    for place, row in enumerate(ROWS[family]):
        alone = benchmarked_kernel(family, {**row, "seconds": 1.0}, operands())
        for name in ("flops", "weight_bytes", "cache_bytes", "activation_bytes", "extent", "rows_per_cache_head"):
            value = getattr(together, name)
            assert (value[place] if np.ndim(value) else value) == getattr(alone, name), name


def test_arrays_of_loads_give_arrays() -> None:
    tokens = np.array([1.0, 40.0])
    for made in (
        lambda t: gemm(t, 128, 64, operands()),
        lambda t: experts(t, 8, 4, 2, 2 * t, np.minimum(2 * t, 6.0), operands()),
        lambda t: decode_attention(t, 100 * t, 8, 2, 16, operands()),
        lambda t: latent_attention(t, 100 * t, 8, 32, 4, operands()),
        lambda t: prefill_attention(t, 100 * t, 8, 16, operands()),
    ):
        every, each = made(tokens), [made(float(count)) for count in tokens]
        for name in ("flops", "cache_bytes", "activation_bytes", "vector_bytes"):
            assert np.broadcast_to(getattr(every, name), 2).tolist() == [getattr(one, name) for one in each], name
