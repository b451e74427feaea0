"""Single kernels by their shapes, as benchmarks name them: what `validate` and `calibrate` hold predictions against.

Shapes may be numpy arrays. The formulas are those of `kernels.py`; a test holds the two together.
"""

from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.estimate.kernels import ACTIVATION_BYTES, Family, Kernel, tile_rows


def gemm(m: Any, n: Any, k: Any, form: str, dtype: str, weights: NumberFormat) -> Kernel:
    """An M x N x K product: 2 M N K flops; N K weights, M (N + K) activations."""
    return Kernel(
        name="gemm",
        component="other",
        family="gemm",
        form=form,
        dtype=dtype,
        flops=2.0 * m * n * k,
        weight_bytes=n * k * weights.bits_per_weight / 8,
        activation_bytes=ACTIVATION_BYTES * (m * k + m * n),
        extent=m,
    )


def experts(
    tokens: Any,
    hidden_size: Any,
    moe_intermediate_size: Any,
    num_experts_per_tok: Any,
    pairs: Any,
    distinct: Any,
    form: str,
    dtype: str,
    weights: NumberFormat,
) -> Kernel:
    """One rank's fused layer of gated experts: `pairs` token-expert pairs on `distinct` experts, of `tokens` tokens.

    3 H I elements per expert; I is the rank's part of the intermediate size.
    """
    hidden, inner = hidden_size, moe_intermediate_size
    elements = 3.0 * hidden * inner
    every = tokens * num_experts_per_tok
    return Kernel(
        name="experts",
        component="routed_experts",
        family="experts",
        form=form,
        dtype=dtype,
        flops=2 * elements * pairs,
        padding_flops=elements * distinct * tile_rows(tokens),
        weight_bytes=distinct * elements * weights.bits_per_weight / 8,
        distinct=distinct,
        extent=pairs / distinct,
        activation_bytes=ACTIVATION_BYTES * pairs * (2 * hidden + 3 * inner),
        vector_bytes=ACTIVATION_BYTES * (every * (3 * inner + hidden) + tokens * hidden),
    )


def decode_attention(
    batch_size: Any,
    context_len: Any,
    num_attention_heads: Any,
    num_key_value_heads: Any,
    head_dim: Any,
    form: str,
    dtype: str,
    kv_cache: NumberFormat,
) -> Kernel:
    """One new token per sequence: 4 B S N h flops; 2 B S K h elements of cache."""
    return Kernel(
        name="scores_and_values",
        component="attention",
        family="attention_decode",
        form=form,
        dtype=dtype,
        flops=4.0 * batch_size * context_len * num_attention_heads * head_dim,
        cache_bytes=2.0 * batch_size * context_len * num_key_value_heads * head_dim * kv_cache.bits_per_weight / 8,
        activation_bytes=ACTIVATION_BYTES * 2.0 * batch_size * num_attention_heads * head_dim,
        rows_per_cache_head=num_attention_heads / num_key_value_heads,
    )


def latent_attention(
    batch_size: Any,
    context_len: Any,
    num_attention_heads: Any,
    kv_lora_rank: int,
    qk_rope_head_dim: int,
    form: str,
    dtype: str,
    kv_cache: NumberFormat,
) -> Kernel:
    """MLA's absorbed decode: 2 B S N (2 r + rope) flops; B S (r + rope) elements of cache."""
    per_token = kv_lora_rank + qk_rope_head_dim
    return Kernel(
        name="scores_and_values",
        component="attention",
        family="latent_decode",
        form=form,
        dtype=dtype,
        flops=2.0 * batch_size * context_len * num_attention_heads * (per_token + kv_lora_rank),
        cache_bytes=1.0 * batch_size * context_len * per_token * kv_cache.bits_per_weight / 8,
        activation_bytes=ACTIVATION_BYTES * batch_size * num_attention_heads * (per_token + kv_lora_rank),
    )


def prefill_attention(
    batch_size: Any, prompt_len: Any, num_attention_heads: Any, head_dim: Any, form: str, dtype: str
) -> Kernel:
    """A prompt from an empty cache, causal: 4 B S (S + 1) / 2 N h flops."""
    family: Family = "attention_prefill"
    return Kernel(
        name="scores_and_values",
        component="attention",
        family=family,
        form=form,
        dtype=dtype,
        flops=2.0 * batch_size * prompt_len * (prompt_len + 1.0) * num_attention_heads * head_dim,
        activation_bytes=ACTIVATION_BYTES * 2.0 * batch_size * prompt_len * num_attention_heads * head_dim,
        extent=prompt_len,
    )
