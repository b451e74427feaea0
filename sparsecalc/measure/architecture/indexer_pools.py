"""Indexers that score pools of keys (GLM-5.3-Flash, Qwen4-Exp) on meta: which pools are whole is a matter of length."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

POOLING = "get_pooled_states"


@contextmanager
def whole_pools(model: nn.Module) -> Iterator[None]:
    """Every such indexer takes its whole pools by their number; transformers looks at values, which meta has not."""
    pooling: list[Any] = [module for module in model.modules() if getattr(module, POOLING, None)]
    averaging: list[Any] = [module for module in model.modules() if getattr(module, "token_budget", None)]
    for module in pooling:
        setattr(module, POOLING, _pooled(module))
    for module in averaging:
        module.forward = _averaged(module)
    try:
        yield
    finally:
        for module in pooling:
            delattr(module, POOLING)
        for module in averaging:
            del module.forward


def _pooled(indexer: Any) -> Any:
    """Keys, places and validity of the whole pools, by shape."""

    def pooled(packed_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, count, pool = packed_states.shape[0], packed_states.shape[1] // indexer.index_kpool, indexer.index_kpool
        places = torch.arange(count * pool).view(1, count, pool).expand(batch, -1, -1)
        return packed_states.new_zeros(batch, count, indexer.head_dim), places, torch.ones(batch, count).bool()

    return pooled


def _averaged(indexer: Any) -> Any:
    """Qwen4-Exp's indexer, which goes through queries one by one: all of them against the keys of all whole blocks."""

    def forward(hidden: torch.Tensor, positions: Any, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        batch, new = hidden.shape[:2]
        heads, dim = indexer.index_n_heads, indexer.index_head_dim
        queries, keys = indexer.index_qk_proj(hidden).split([heads * dim, indexer.index_kv_heads * dim], dim=-1)
        if cache is not None:
            keys = cache.update_indexer(keys, indexer.layer_idx)
        blocks = keys[:, : keys.shape[1] // indexer.compress_ratio]
        torch.bmm(queries.reshape(batch, new * heads, dim), blocks.transpose(1, 2))
        return torch.ones(mask.shape[0], 1, new, mask.shape[-1], dtype=torch.bool)

    return forward


def gate_flops(module: nn.Module, tokens: int) -> int:
    """FLOPs of the gate that weighs the keys of a pool, which the indexer multiplies by itself; 0 for other modules."""
    gate: Any = getattr(module, "index_kpool_compress_gate", None)
    return 2 * tokens * gate.numel() if isinstance(gate, torch.Tensor) else 0
