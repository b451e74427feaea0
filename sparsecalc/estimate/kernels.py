"""From a ledger of ops to the kernels that an engine launches for them on one device of a placement.

Neighbouring projections of one input run as one product, experts' products as one fused layer, norms with the residual
that they add; what lies between (rotary embedding, activation, sampling) becomes elementwise kernels of known traffic.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from sparsecalc.core.arrays import Number, is_array, most
from sparsecalc.core.components import Component
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.placement import Placement

if TYPE_CHECKING:
    from sparsecalc.estimate.sparse_speedup import SparseSpeedup

Family = Literal[
    "gemm",
    "experts",
    "attention_decode",
    "attention_prefill",
    "latent_decode",
    "vector",
    "scan",
    "all_reduce",
    "all_to_all",
]
ACTIVATION_BYTES = 2
"""Engines keep activations in 16 bits between kernels."""


@dataclass(slots=True, kw_only=True)
class Kernel:
    """What one kernel does on one device, for each of `layers` layers. Counts may be numpy arrays."""

    name: str
    component: Component
    family: Family
    form: str = "bf16"
    """Of the operands, which chooses the constants: the format that is multiplied, or weight-only."""
    dtype: str = ""
    """Whose peak bounds it; empty: it computes no products."""
    group: str = ""
    layers: Number = 1
    launches: Number = 1
    flops: Number = 0
    padding_flops: Number = 0
    """What matrix units compute for nothing, since they take whole tiles of rows."""
    weight_bytes: Number = 0
    cache_bytes: Number = 0
    activation_bytes: Number = 0
    vector_bytes: Number = 0
    """Traffic of elementwise kernels inside, which run after the products."""
    distinct: Number = 0
    """Experts whose weights are read."""
    extent: Number = 1
    """What small kernels lack: rows of a product, rows per expert, context of a prompt's attention."""
    rows_per_cache_head: Number = math.inf
    """Attention: query rows that share one head of the cache, which fill a tile of the matrix units."""
    speedup: Number = 1
    """Of a sparse kernel over its dense twin, by measurement."""
    technique: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """All that turns ops into kernels besides the ops."""

    precision: Precision
    placement: Placement
    peaks: dict[str, float]
    accelerator: str

    def form(self, op: Op) -> tuple[str, str]:
        """Form of an op's operands, and the format whose peak bounds it: 16 bits where the device lacks the format."""
        stored = self.precision.format_of(op)
        wide = wide_format(self.peaks)
        if stored is None or stored.bits >= 16:
            own = stored.id if stored else wide
            return own, own if own in self.peaks else wide
        if stored.compute and stored.compute_needs in self.peaks:
            return stored.id, stored.compute
        return "weight-only", wide

    def dense_weight_bytes(self, op: Op) -> int:
        """Bytes of the weights in one layer, were they stored dense."""
        return self.precision.used_weight_bytes(replace(op, storage=None) if op.storage else op)

    def speedup(self, op: Op) -> Number:
        """Of a product with sparse weights over its dense twin; 1 for dense weights."""
        return self.sparse_speedup(op).value if op.storage else 1.0

    def sparse_speedup(self, op: Op) -> "SparseSpeedup":
        """The same with its source: measured on this device, or a bound."""
        from sparsecalc.estimate.sparse_speedup import speedup

        stored = self.precision.format_of(op) or self.precision.activations
        return speedup(op, self.accelerator, stored.id, op.tokens, op.rows * op.cols)


def wide_format(peaks: dict[str, float]) -> str:
    """The 16-bit format that the device multiplies fastest, FP32 where it has none."""
    return next((name for name in ("bf16", "fp16", "fp32") if name in peaks), next(iter(peaks)))


def kernels(rows: Sequence[Ledger], works: Sequence[Workload], reach: Ledger, setting: Setting) -> list[Kernel]:
    """Kernels of one step on the busiest device: `rows` are the ledgers of the step's `works`, which share products.

    `reach` is the ledger of all the step's tokens together: from it comes which share of the experts they read.

    A step may mix sequences that decode with a chunk of a prompt: products take all their tokens at once, attention
    and state updates run for each apart.
    """
    merged = [_merge(ops) for ops in zip(*rows, strict=True)]
    launched: list[Kernel] = []
    for _, places in groupby(range(len(merged)), key=lambda index: _fusion(merged, index)):
        members = [index for index in places if not _is_idle(merged[index])]
        if not members:
            continue
        first = merged[members[0]]
        own = [merged[index] for index in members]
        if first.kind == "matmul":
            launched += _products(own, setting)
        elif first.kind == "experts":
            launched += _experts(own, reach[members[0]].read_share, works, setting)
        elif _is_attention(first):
            for ledger, work in zip(rows, works, strict=True):
                launched += _attention([ledger[index] for index in members], work, setting)
        elif first.kind in ("scan", "conv"):
            for ledger, work in zip(rows, works, strict=True):
                launched += _recurrent([ledger[index] for index in members], work, setting)
        else:
            launched += _elementwise(own, setting)
    return launched


def _is_idle(op: Op) -> bool:
    """Whether the step leaves the op out: an encoder's in decode, maps of a source whose keys are cached."""
    return not (is_array(op.tokens) or op.tokens or op.kv_elements_per_token or op.index_elements_per_token)


def _is_attention(op: Op) -> bool:
    return op.kind == "attention" or bool(op.kv_elements_per_token or op.index_elements_per_token)


def _fusion(ops: Sequence[Op], index: int) -> tuple[object, ...]:
    """Equal keys of neighbours mean one kernel."""
    op = ops[index]
    if op.kind == "matmul" and op.matrices:
        start = index
        while start and _same_input(ops[start - 1], op):
            start -= 1
        return ("matmul", start, op.group)
    if op.kind == "experts":
        return ("experts", op.num_experts, op.group)
    if _is_attention(op):
        return ("attention", 0, op.group)
    return ("other", index, op.group)


def _same_input(before: Op, op: Op) -> bool:
    return (
        before.kind == "matmul"
        and before.component == op.component == "attention"
        and before.cols == op.cols
        and before.matrices == op.matrices == 1
        and before.group == op.group
    )


def _merge(ops: tuple[Op, ...]) -> Op:
    """One op for the same op of several works: tokens and what depends on them add up."""
    if len(ops) == 1:
        return ops[0]
    first = ops[0]
    return replace(
        first,
        tokens=sum(op.tokens for op in ops),
        flops=sum(op.flops for op in ops),
        activation_elements=sum(op.activation_elements for op in ops),
        scratch_elements=sum(op.scratch_elements for op in ops),
    )


def _products(ops: list[Op], setting: Setting) -> Iterator[Kernel]:
    """One product of all rows with the matrices side by side, its input's quantization included; an MLP's activation.

    flops / ways, weights / ways; inputs or outputs are split, the other side is whole.
    """
    first = ops[0]
    form, dtype = setting.form(first)
    flops = weights = moved = 0.0
    for op in ops:
        ways = setting.placement.ways(op)
        flops = flops + op.flops / op.compute_share / ways
        weights = weights + setting.dense_weight_bytes(op) * op.read_share / ways
        moved = moved + ACTIVATION_BYTES * op.activation_elements * (1 + 1 / ways) / 2
    yield Kernel(
        name="+".join(op.name for op in ops),
        component=first.component,
        family="gemm",
        form=form,
        dtype=dtype,
        group=first.group,
        layers=first.layers,
        flops=flops,
        weight_bytes=weights,
        activation_bytes=moved,
        extent=first.tokens,
        speedup=setting.speedup(first),
        technique=first.technique,
    )
    ways = setting.placement.ways(first)
    if first.component in ("dense_ffn", "shared_experts") and first.role in ("gate_up", "gate_up_adapter"):
        sides = first.matrices + 1
        yield _vector("activation", first, ACTIVATION_BYTES * sides * first.tokens * first.rows / ways)


@dataclass(frozen=True, slots=True)
class ExpertsLoad:
    """What a step leaves to one rank's layer of experts."""

    tokens: Number
    """Of the whole step: they choose the tile."""
    own_tokens: Number
    """Tokens whose weighted sums the rank keeps."""
    held_pairs: Number
    """Token-expert pairs whose intermediate results it keeps."""
    pairs: Number
    """Token-expert pairs that it computes."""
    distinct: Number
    """Experts whose weights it reads."""


def _experts(ops: list[Op], read_share: Number, works: Sequence[Workload], setting: Setting) -> Iterator[Kernel]:
    """The fused layer of experts of the busiest rank.

    Fused kernels keep the intermediate results of all T * k pairs whole on every rank, but where pairs are dispatched
    to their rank (data-parallel attention).
    """
    first, plan = ops[0], setting.placement
    if not first.num_experts_per_tok:
        return
    tokens, all_pairs = sum(work.tokens for work in works) * plan.dp, first.tokens * plan.dp
    pairs, distinct = _busiest_rank(first, all_pairs, read_share, works, plan)
    held = pairs if plan.dp > 1 and plan.ep > 1 else all_pairs
    yield experts_kernel(ops, ExpertsLoad(tokens, tokens / plan.dp, held, pairs, distinct), setting)


def experts_kernel(ops: Sequence[Op], load: ExpertsLoad, setting: Setting) -> Kernel:
    """A fused layer of experts on one rank: sort, up, activation, down, weighted sum.

    flops = 2 * elements per expert * (pairs + distinct * tile / 2)     half a tile of rows is wasted per expert, unless
                                                                        the device has no matrix units
    bytes = distinct * bytes per expert + inputs and outputs of the rank's pairs
    elementwise: the intermediate results of the pairs that it keeps, and a row of each token
    """
    first, split = ops[0], setting.placement.moe_tp
    elements = sum(op.matrices * op.rows * op.cols for op in ops) / first.num_experts / split
    stored = sum(setting.dense_weight_bytes(op) for op in ops) / first.num_experts / split
    inner_in = sum(op.cols / split for op in ops[1:])
    per_pair_out = sum(op.rows * (op.matrices // op.num_experts) / split for op in ops[:-1]) + ops[-1].rows
    form, dtype = setting.form(first)
    return Kernel(
        name="experts",
        component=first.component,
        family="experts",
        form=form,
        dtype=dtype,
        group=first.group,
        layers=first.layers,
        flops=2 * elements * load.pairs,
        padding_flops=elements * load.distinct * tile_rows(load.tokens),
        weight_bytes=load.distinct * stored,
        distinct=load.distinct,
        extent=load.pairs / most(load.distinct, 1e-9),
        activation_bytes=ACTIVATION_BYTES * load.pairs * (first.cols + inner_in + per_pair_out),
        vector_bytes=ACTIVATION_BYTES * (load.held_pairs * (per_pair_out + inner_in) + load.own_tokens * first.cols),
        speedup=setting.speedup(first),
        technique=first.technique,
    )


def _busiest_rank(
    op: Op, all_pairs: Number, read_share: Number, works: Sequence[Workload], plan: Placement
) -> tuple[Number, Number]:
    """Token-expert pairs and distinct experts of the busiest rank of expert parallelism."""
    if plan.ep == 1:
        return all_pairs, op.num_experts * read_share
    tokens, sequences = (
        plan.dp * sum(counts) for counts in zip(*((work.tokens, work.batch_size) for work in works), strict=True)
    )
    load = works[0].routing.busiest_rank(
        op.num_experts,
        op.expected_experts_per_tok,
        tokens,
        plan.ep,
        replicas=plan.eplb_replicas or 0,
        balanced=plan.eplb_replicas is not None,
        sequences=sequences,
    )
    return load.pairs * all_pairs / (tokens * op.expected_experts_per_tok), load.distinct


def tile_rows(tokens: Number) -> Number:
    """Rows of a tile that fused experts' kernels choose for so many tokens. Source: vLLM, fused_moe default config."""
    return 16 + 16 * (tokens > 32) + 32 * (tokens > 96) + 64 * (tokens > 512)


def _attention(ops: list[Op], work: Workload, setting: Setting) -> Iterator[Kernel]:
    """Scores and values of the local heads over the local cache, and before it rotary embedding and cache write."""
    scores = [op for op in ops if op.kind == "attention" and not _is_idle(op)]
    first = scores[0] if scores else ops[0]
    plan = setting.placement
    kv_bytes = setting.precision.kv_cache.bits_per_weight / 8
    read = sum(op.cache_read_elements / plan.ways(op) for op in ops) * kv_bytes
    flops = sum(op.flops for op in scores) / plan.tp
    latent = first.heads and not first.kv_heads
    family: Family = (
        "attention_prefill" if work.phase == "prefill" else "latent_decode" if latent else "attention_decode"
    )
    yield Kernel(
        name=first.name,
        component="attention",
        family=family,
        form="fp8" if setting.precision.kv_cache.bits <= 8 else "bf16",
        dtype=wide_format(setting.peaks),
        group=first.group,
        layers=first.layers,
        launches=len(scores),
        flops=flops,
        cache_bytes=read if work.phase == "decode" else 0,
        activation_bytes=ACTIVATION_BYTES * sum(op.activation_elements for op in scores) / plan.tp,
        extent=work.context_len,
        rows_per_cache_head=work.new_tokens * first.heads / first.kv_heads if first.kv_heads else math.inf,
        technique=first.technique,
    )
    written = sum(op.kv_elements_per_token / plan.ways(op) for op in ops) * work.tokens
    moved = ACTIVATION_BYTES * (2 * written + sum(op.activation_elements for op in scores) / plan.tp)
    yield _vector("rotary embedding, cache write", first, moved)


def _recurrent(ops: list[Op], work: Workload, setting: Setting) -> Iterator[Kernel]:
    """State updates read and write the whole state once per step; a prompt's run in chunks as matrix products."""
    for op in ops:
        ways = setting.placement.ways(op)
        size = setting.precision.state_element_bytes(op)
        moved = (2 * size * op.state_elements + ACTIVATION_BYTES * op.activation_elements) / ways
        yield Kernel(
            name=op.name,
            component=op.component,
            family="scan" if op.kind == "scan" else "vector",
            group=op.group,
            layers=op.layers,
            flops=op.flops / ways if op.kind == "scan" else 0,
            cache_bytes=moved,
            dtype=wide_format(setting.peaks),
        )


def _elementwise(ops: list[Op], setting: Setting) -> Iterator[Kernel]:
    """Norms add the residual (read 2, write 2, once more for the result); lookups read and write rows."""
    for op in ops:
        if op.component == "norm":
            yield _vector(op.name, op, 3 * ACTIVATION_BYTES * op.tokens * op.vectors)
        elif op.kind == "lookup":
            yield _vector(op.name, op, 2 * ACTIVATION_BYTES * op.activation_elements)
        elif op.kind == "matmul":  # a product of activations
            yield Kernel(
                name=op.name,
                component=op.component,
                family="gemm",
                dtype=wide_format(setting.peaks),
                group=op.group,
                layers=op.layers,
                flops=op.flops / setting.placement.tp,
                activation_bytes=ACTIVATION_BYTES * op.activation_elements / setting.placement.tp,
            )


def _vector(name: str, op: Op, moved: Number) -> Kernel:
    return Kernel(
        name=name, component=op.component, family="vector", group=op.group, layers=op.layers, activation_bytes=moved
    )
