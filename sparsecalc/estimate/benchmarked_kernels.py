"""Kernels as benchmarks time them: one at a time, named by its shape instead of a model.

`validate`, `calibrate` and the tools that fit constants hold predictions against such measurements. Each kernel is
made of the ops that a model's step would have, by the makers of `kernels.py`, so that its formula stands there alone.

Three things a benchmark says by itself, and no op does: the form of the operands and the format whose peak bounds them
(`Operands`), and how many token-expert pairs and distinct experts one rank was given.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from inspect import signature
from typing import Any

from sparsecalc.core.arrays import Number
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Ledger, Op, linear
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.expert_kernels import ExpertsLoad, experts_kernel
from sparsecalc.estimate.kernel import Kernel, Setting
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla


class Operands(Frozen):
    """What a benchmarked kernel multiplies."""

    form: str
    """Chooses the constants: the format that is multiplied, or weight-only."""
    dtype: str
    """Whose peak bounds the kernel."""
    stored: NumberFormat
    """Of the weights, or of an attention's cache."""


def gemm(m: Number, n: int, k: int, operands: Operands) -> Kernel:
    """An M x N x K product: M activations of width K, a weight of N x K."""
    op = linear("gemm", "other", k, n, m)
    return _launched(op, Workload.decode(1, m), operands)


def experts(
    tokens: Number,
    hidden_size: int,
    moe_intermediate_size: int,
    num_experts_per_tok: int,
    pairs: Number,
    distinct: Number,
    operands: Operands,
) -> Kernel:
    """One rank's fused layer of gated experts: `pairs` token-expert pairs on `distinct` experts, of `tokens` tokens.

    `moe_intermediate_size` is of the rank's part of an expert.
    """
    moe = Moe(
        hidden_size=hidden_size,
        moe_intermediate_size=moe_intermediate_size,
        num_experts_per_tok=num_experts_per_tok,
        num_experts=num_experts_per_tok,  # how many there are matters only to the load, which is given
    )
    ops = [op for op in moe.ops(Workload.decode(1)) if op.kind == "experts"]
    load = ExpertsLoad(tokens, tokens, tokens * num_experts_per_tok, pairs, distinct)
    return _as_benchmarked(experts_kernel(ops, load, _setting(operands)), operands)


def decode_attention(
    batch_size: Number,
    context_len: Number,
    num_attention_heads: int,
    num_key_value_heads: int,
    head_dim: int,
    operands: Operands,
) -> Kernel:
    """One new token per sequence over the cached keys and values of `context_len` tokens."""
    attention = _gqa(num_attention_heads, num_key_value_heads, head_dim)
    work = Workload.decode(context_len, batch_size)
    return _launched(attention.scores(work), work, operands)


def latent_attention(
    batch_size: Number,
    context_len: Number,
    num_attention_heads: int,
    kv_lora_rank: int,
    qk_rope_head_dim: int,
    operands: Operands,
) -> Kernel:
    """MLA's absorbed decode: one new token per sequence over the cached latents of `context_len` tokens."""
    attention = Mla(
        hidden_size=0,  # the projections are not timed
        num_attention_heads=num_attention_heads,
        q_lora_rank=None,
        kv_lora_rank=kv_lora_rank,
        qk_nope_head_dim=0,
        qk_rope_head_dim=qk_rope_head_dim,
        v_head_dim=0,
    )
    work = Workload.decode(context_len, batch_size)
    (scores,) = (op for op in attention.ops(work) if op.kind == "attention")
    return _launched(scores, work, operands)


def prefill_attention(
    batch_size: Number, prompt_len: Number, num_attention_heads: int, head_dim: int, operands: Operands
) -> Kernel:
    """Causal attention of a prompt from an empty cache."""
    attention = _gqa(num_attention_heads, num_attention_heads, head_dim)
    work = Workload.prefill(prompt_len, batch_size)
    return _launched(attention.scores(work), work, operands)


def elementwise(nbytes: Number, launches: Number, operands: Operands) -> Kernel:
    """`launches` kernels, one after the other, whose inputs and outputs are `nbytes` in all."""
    return Kernel(
        name="elementwise",
        component="other",
        family="vector",
        form=operands.form,
        dtype=operands.dtype,
        launches=launches,
        activation_bytes=nbytes,
    )


_MAKERS: dict[str, Callable[..., Kernel]] = {
    "gemm": gemm,
    "experts": experts,
    "attention_decode": decode_attention,
    "latent_decode": latent_attention,
    "attention_prefill": prefill_attention,
    "vector": elementwise,
}
_COLUMNS = {family: tuple(signature(make).parameters)[:-1] for family, make in _MAKERS.items()}


def benchmarked_kernel(family: str, row: Mapping[str, Any], operands: Operands) -> Kernel:
    """The kernel of a measured row, whose columns are named as the parameters of the family's function above."""
    return _MAKERS[family](*(row[name] for name in _COLUMNS[family]), operands)


def benchmarked_kernels(family: str, rows: Iterable[Mapping[str, Any]], operands: Operands) -> Kernel:
    """All rows of one family as one kernel, whose counts are numpy arrays where rows differ."""
    return _stacked([benchmarked_kernel(family, row, operands) for row in rows])


def _stacked(made: Sequence[Kernel]) -> Kernel:
    import numpy as np

    first = made[0]
    columns = {field.name: [getattr(kernel, field.name) for kernel in made] for field in fields(Kernel)}
    differing: dict[str, Any] = {
        name: np.array(values, float) for name, values in columns.items() if any(value != values[0] for value in values)
    }
    return replace(first, **differing)


def _gqa(num_attention_heads: int, num_key_value_heads: int, head_dim: int) -> Gqa:
    return Gqa(
        hidden_size=0,  # the projections are not timed
        num_attention_heads=num_attention_heads,
        num_key_value_heads=num_key_value_heads,
        head_dim=head_dim,
    )


def _launched(op: Op, work: Workload, operands: Operands) -> Kernel:
    """The op's own kernel, without the elementwise ones that a model's step has beside it."""
    rows = Ledger([op])
    return _as_benchmarked(kernels([rows], [work], rows, _setting(operands))[0], operands)


def _as_benchmarked(kernel: Kernel, operands: Operands) -> Kernel:
    return replace(kernel, form=operands.form, dtype=operands.dtype)


@cache
def _setting(operands: Operands) -> Setting:
    """One device. A weight's scales are spread over its elements, as of a large matrix: benchmarks count no others."""
    stored = operands.stored
    even = stored.but(bits=stored.bits_per_weight, block_rows=1, block_cols=1, block_bytes=0, tensor_bytes=0, keeps=())
    precision = Precision(weights=even, kv_cache=stored, activations=stored)
    return Setting(precision, Placement(), {operands.dtype: 1.0}, "")
