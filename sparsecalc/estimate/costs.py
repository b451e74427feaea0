"""Counts, FLOPs and bytes of one model: every figure a sum over its ops."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from sparsecalc.core.arrays import Number, least, most
from sparsecalc.core.components import Component
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.engine_defaults import whole_default
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.results import Experts, Flops, LayerKind, Memory, Params
from sparsecalc.model.ledgers import Ledgers, Model
from sparsecalc.model.spec import Layer, ModelSpec


def params(model: Model) -> Params:
    """Parameters of a model.

        total  = sum of the stored elements of all ops
        active = total - routed experts * (1 - num_experts_per_tok / num_experts) - rows of n-gram tables not looked up
        active_excl_embedding = active - the input table; ..._and_head = that - the LM head's matrix (0 where tied)

    An encoder-decoder has no single path of a token: `active` is its total, and a note tells both paths.
    """
    ledgers = Ledgers.of(model)
    spec, rows = ledgers.spec, ledgers.ops(Workload())
    active_column = "params" if spec.encoder_decoder else "active_params"
    active = rows.total(active_column)
    table = sum(table.rows * table.size for table in spec.tables if table.is_input)
    head = int(rows.sum("params", lambda op: op.component == "lm_head" and op.kind == "matmul"))
    return Params(
        total=rows.total("params"),
        active=active,
        active_excl_embedding=active - table,
        active_excl_embedding_and_head=active - table - head,
        by_component=rows.by_component("params"),
        active_by_component=rows.by_component(active_column),
    )


def layer_kinds(spec: ModelSpec) -> list[LayerKind]:
    """Each kind of layer with the parameters of one layer, in whatever formats it is stored."""
    counts: dict[Layer, int] = {}
    for group in spec.layer_groups:
        counts[group.layer] = counts.get(group.layer, 0) + group.count
    kinds = []
    for layer, count in counts.items():
        rows = Ledger(layer.ops(Workload()))
        kinds.append(
            LayerKind(kind=layer.label, count=count, params=rows.total("params"), active=rows.total("active_params"))
        )
    return kinds


def flops(model: Model, context_len: int, **how: Any) -> Flops:
    """FLOPs per token: of a whole prompt of `context_len` tokens, and of one more token at that context.

    2 per multiply-accumulate of matrix products; attention over the visible pairs; the LM head for every token.
    """
    ledgers = Ledgers.of(model)
    prompt = ledgers.ops(Workload.prefill(context_len, **how))
    step = ledgers.ops(Workload.decode(context_len, **how))
    return Flops(
        prefill_per_token=prompt.total("flops") / context_len,
        decode_per_token=step.total("flops"),
        context_len=context_len,
        decode_by_component=step.by_component("flops"),
    )


def experts(model: Model, precision: Precision, load: Load, routing: Routing) -> Experts | None:
    """How many experts a decode step reaches, and the bytes of weights that it then reads."""
    ledgers = Ledgers.of(model)
    mixtures = ledgers.spec.mixtures
    if not mixtures:
        return None
    moe = mixtures[0][1]
    step = ledgers.ops(Workload.decode(load.context_len, load.batch_size, routing=routing))
    routed = next(op for op in step if op.kind == "experts")
    return Experts(
        layers=sum(count for count, _ in mixtures),
        num_experts=moe.num_experts,
        num_experts_per_tok=moe.num_experts_per_tok,
        shared_intermediate_size=moe.shared_intermediate_size,
        batch_size=load.batch_size,
        routing=routing.name,
        expected_distinct=moe.num_experts * routed.read_share,
        weight_bytes_read=step.sum(precision.read_weight_bytes),
    )


def memory(model: Model, precision: Precision, load: Load, framework_bytes: int = 0) -> Memory:
    """Bytes held: weights, KV cache, indexer cache, recurrent state, working memory, logits, and the reserve."""
    ledgers = Ledgers.of(model)
    held = ledgers.ops(Workload.decode(load.context_len, load.batch_size))
    weights = _by_component(held, precision.weight_bytes)
    kv = precision.kv_cache_bytes(held.total("kv_elements"))
    index = precision.kv_cache_bytes(held.total("index_elements"))
    state = precision.state_bytes(held)
    activations, logits = working_bytes(ledgers.spec, precision, load)
    total_weights = sum(weights.values())
    return Memory(
        batch_size=load.batch_size,
        context_len=load.context_len,
        weights_dtype=precision.name,
        weights_dtype_from=precision.origin,
        kv_cache_dtype=precision.kv_cache.id,
        weights_bytes=total_weights,
        bits_per_param=8 * total_weights / max(1, held.total("params")),
        weights_by_component=weights,
        kv_cache_bytes_per_token=precision.kv_cache_bytes(held.total("kv_elements_per_token")),
        kv_cache_bytes=kv,
        index_cache_bytes=index,
        state_bytes=state,
        activation_bytes=activations,
        logits_bytes=logits,
        framework_bytes=framework_bytes,
        total_bytes=total_weights + kv + index + state + max(activations, logits) + framework_bytes,
    )


def _by_component(rows: Ledger, value: Callable[[Op], float]) -> dict[Component, int]:
    sums = dict.fromkeys(rows.by_component("params"), 0)
    for op in rows:
        sums[op.component] += int(value(op)) * op.layers
    return sums


def working_bytes(spec: ModelSpec, precision: Precision, load: Load) -> tuple[int, int]:
    """Peak of a step's intermediate results, and of its logits; the two are not held at the same time."""
    return activation_bytes(spec, precision, step_tokens(load)), logits_bytes(spec, precision, load.batch_size)


def step_tokens(load: Load) -> Number:
    """Tokens of the largest step: one decode step (B), or one chunk of a prompt (at most max_num_batched_tokens)."""
    return most(load.batch_size, least(load.max_num_batched_tokens, load.batch_size * load.context_len))


def activation_bytes(spec: ModelSpec, precision: Precision, tokens: int) -> int:
    """Peak of the intermediate results of a step of so many tokens.

        bytes * tokens * 2 H + the largest layer part's results, held together
        (q, k, v, mixed values | gate, up, product, or the same per routed copy with its input)

    Holds for fused attention (no score matrix) and fused norms; a framework may keep more.
    """
    step = Workload(phase="prefill", new_tokens=tokens, context_len=tokens, logits="last")
    layers = [group.layer for group in spec.layer_groups]
    live = [sum(op.scratch_elements for op in list(part.ops(step))[:-1]) for layer in layers for part in layer.mixers]
    live += [_mlp_elements(list(part.ops(step))) for layer in layers for part in layer.feed_forwards]
    return int(precision.activations.bits // 8) * (tokens * 2 * spec.hidden_size + max(live, default=0))


def logits_bytes(spec: ModelSpec, precision: Precision, sequences: Number) -> Number:
    """sequences * vocab_size * (bytes + 4 for the FP32 copy that is sampled from)."""
    copies = int(precision.activations.bits // 8) + whole_default("sampling_logit_bytes")
    return sequences * (spec.head.out_features * copies if spec.head else 0)


def _mlp_elements(rows: list[Op]) -> int:
    """Elements that one MLP holds at once: gate, up and product; routed copies also their input and output."""
    rows = [op for op in rows if op.kind in ("matmul", "experts")]
    largest = 0
    for up, down in pairwise(rows):
        if down.cols == up.rows:
            routed = up.tokens * up.cols + down.scratch_elements if up.kind == "experts" else 0
            largest = max(largest, up.scratch_elements + down.tokens * down.cols + routed)
    return largest
