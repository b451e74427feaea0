"""The cache that a real forward pass leaves beside the ledger's."""

from typing import Any

from torch import nn

from sparsecalc.core.workload import Workload
from sparsecalc.documents.verify import Verdict
from sparsecalc.measure.architecture.cache_tensors import cache_tensors, holds_tokens
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.spec import ModelSpec


def cache_verdicts(spec: ModelSpec, model: nn.Module, cache: Any, context: int) -> dict[str, Verdict]:
    """`kv_cache`, keys and values, and `state`, recurrent state, of one sequence of `context` tokens."""
    shared = any(isinstance(mixer, CompressedAttention) for group in spec.layer_groups for mixer in group.layer.mixers)
    kv, state = _cache_elements(cache, values_are_keys=shared)
    sliding = any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", []))
    ours = _kept_by_transformers(spec, context, sliding=sliding) * _repeated_heads(model)
    states = spec.ops(Workload.prefill(context)).total("state_elements")
    verdicts = {}
    if kv or ours:
        verdicts["kv_cache"] = Verdict(figure="KV cache, bytes in bf16", predicted=2 * ours, actual=2 * kv)
    if state or states:
        verdicts["state"] = Verdict(figure="recurrent state, elements", predicted=states, actual=state)
    return verdicts


def _repeated_heads(model: nn.Module) -> int:
    """How often transformers caches each key-value head: Falcon's new decoder repeats them for all query heads."""
    config: Any = model.config
    if getattr(config, "new_decoder_architecture", False):
        return int(config.num_attention_heads // config.num_kv_heads)
    return 1


def _kept_by_transformers(spec: ModelSpec, context: int, *, sliding: bool) -> int:
    """The ledger's cache elements in transformers' form, for one sequence of `context` tokens.

    A filled window of W tokens is kept as W - 1, to which the next token is added; a cache without windowed layers
    keeps every token. Engines, and the ledger, keep W.
    """
    lengths = (1, context - 1, context, context + 1)  # of the two last steps, one may add a compressed entry
    one, earlier, now, later = (spec.ops(Workload.prefill(length)) for length in lengths)
    kept = now.total("index_elements") + _unpooled(spec, context)
    for first, before, op, after in zip(one, earlier, now, later, strict=True):
        if not op.kv_elements_per_token:  # of a source that is as long for every context
            kept += op.layers * op.kv_elements
            continue
        token = first.kv_elements
        filled = min(after.kv_elements - op.kv_elements, op.kv_elements - before.kv_elements) < token
        held = op.kv_elements - token if filled else op.kv_elements
        kept += op.layers * (held if sliding or not filled else context * token)
    return kept


def _unpooled(spec: ModelSpec, context: int) -> int:
    """What transformers keeps beyond pooled keys of an indexer: of each token its key, and GLM's gate and a flag."""
    more = 0
    for group in spec.layer_groups:
        for mixer in group.layer.mixers:
            if isinstance(mixer, Mla) and mixer.index_n_heads and mixer.index_kpool > 1:
                dim = mixer.index_head_dim
                more += group.count * (context * (2 * dim + 1) - context // mixer.index_kpool * dim)
            elif isinstance(mixer, BlockSparseAttention) and mixer.pooled:
                more += group.count * (context - context // mixer.index_block_size) * mixer.index_head_dim
    return more


def _cache_elements(cache: Any, *, values_are_keys: bool = False) -> tuple[int, int]:
    """Elements of keys and values, and of states, that a transformers cache holds."""
    halves = (getattr(cache, f"{name}_attention_cache", None) for name in ("self", "cross"))
    layers = getattr(cache, "layers", None) or [layer for half in halves if half for layer in half.layers]
    if not layers:
        return 0, sum(tensor.numel() for name, tensor in cache_tensors(cache) if "offset" not in name)
    kv = state = 0
    for name, tensor in (entry for layer in layers for entry in cache_tensors(layer)):
        if values_are_keys and name == "values":
            continue
        if holds_tokens(name):
            kv += tensor.numel()
        elif "state" in name:
            state += tensor.numel()
    state += sum(tensor.numel() for name, tensor in cache_tensors(cache) if name == "linear_cache")  # MiniMax's own
    return kv, state
