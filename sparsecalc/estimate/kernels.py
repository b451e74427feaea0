"""From a ledger of ops to the kernels that an engine launches for them on one device of a placement.

Neighbouring projections of one input run as one product, experts' products as one fused layer, norms with the residual
that they add; what lies between (rotary embedding, activation, sampling) becomes elementwise kernels of known traffic.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from sparsecalc.core.arrays import Number, is_array
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.expert_kernels import fused_experts
from sparsecalc.estimate.kernel import ACTIVATION_BYTES, Family, Kernel, Scope, Setting, wide_format


def kernels(
    rows: Sequence[Ledger],
    works: Sequence[Workload],
    reach: Ledger,
    setting: Setting,
    whole: Sequence[Workload] | None = None,
) -> list[Kernel]:
    """Kernels of one step on the busiest device: `rows` are the ledgers of the step's `works`, which share products.

    `reach` is the ledger of all the step's tokens together: from it comes which share of the experts they read. `whole`
    are the works of all copies of the attention, whose tokens the experts compute; by default each has as much.

    A step may mix sequences that decode with a chunk of a prompt: products take all their tokens at once, attention
    and state updates run for each apart.
    """
    whole = whole or [work.but(batch_size=work.batch_size * setting.placement.dp) for work in works]
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
            launched += fused_experts(own, reach[members[0]].read_share, works, whole, setting)
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
    """Whether the step leaves the op out: an encoder's in decode, maps of a source whose keys are cached, a layer that
    all tokens have left early."""
    if op.kv_elements_per_token or op.index_elements_per_token:
        return False
    skipped = not is_array(op.compute_share) and op.compute_share == 0
    return skipped or not (is_array(op.tokens) or op.tokens)


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
        stored=setting.stored(first),
        group=first.group,
        layers=first.layers,
        flops=flops,
        weight_bytes=weights,
        activation_bytes=moved,
        extent=first.tokens,
        speedup=setting.speedup(first),
        technique=first.technique,
        scope="sequences" if first.component == "lm_head" else "tokens",
    )
    ways = setting.placement.ways(first)
    if first.component in ("dense_ffn", "shared_experts") and first.role in ("gate_up", "gate_up_adapter"):
        sides = first.matrices + 1
        yield _vector("activation", first, ACTIVATION_BYTES * sides * first.tokens * first.rows / ways)


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
        rows_per_cache_head=_rows_per_tile(first, work, setting),
        tile_rows=setting.mixed_tile_rows,
        technique=first.technique,
        scope="work",
    )
    written = sum(op.kv_elements_per_token / plan.ways(op) for op in ops) * work.tokens
    moved = ACTIVATION_BYTES * (2 * written + sum(op.activation_elements for op in scores) / plan.tp)
    yield _vector("rotary embedding, cache write", first, moved, "work")


def _rows_per_tile(first: Op, work: Workload, setting: Setting) -> Number:
    """Query rows of one sequence in a tile: those that share a head of the cache, or one head's alone."""
    if not first.kv_heads:
        return math.inf
    return work.new_tokens if setting.mixed_tile_rows else work.new_tokens * first.heads / first.kv_heads


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
            scope="work",
        )


def _elementwise(ops: list[Op], setting: Setting) -> Iterator[Kernel]:
    """Norms add the residual (read 2, write 2, once more for the result); lookups read and write rows."""
    for op in ops:
        if op.component == "norm":
            yield _vector(op.name, op, 3 * ACTIVATION_BYTES * op.tokens * op.vectors)
        elif op.kind == "lookup":
            yield _vector(op.name, op, 2 * ACTIVATION_BYTES * op.activation_elements)


def _vector(name: str, op: Op, moved: Number, scope: Scope = "tokens") -> Kernel:
    return Kernel(
        name=name,
        component=op.component,
        family="vector",
        group=op.group,
        layers=op.layers,
        activation_bytes=moved,
        scope=scope,
    )
