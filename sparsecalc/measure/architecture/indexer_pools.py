"""Indexers that score pools of keys (GLM-5.3-Flash), on the meta device: which pools are whole is a matter of length."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

POOLING = "get_pooled_states"


@contextmanager
def whole_pools(model: nn.Module) -> Iterator[None]:
    """Every such indexer takes its whole pools by their number; transformers looks at values, which meta has not."""
    replaced: list[Any] = [module for module in model.modules() if getattr(module, POOLING, None)]
    for module in replaced:
        setattr(module, POOLING, _pooled(module))
    try:
        yield
    finally:
        for module in replaced:
            delattr(module, POOLING)


def _pooled(indexer: Any) -> Any:
    """Keys, places and validity of the whole pools, by shape."""

    def pooled(packed_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, count, pool = packed_states.shape[0], packed_states.shape[1] // indexer.index_kpool, indexer.index_kpool
        places = torch.arange(count * pool).view(1, count, pool).expand(batch, -1, -1)
        return packed_states.new_zeros(batch, count, indexer.head_dim), places, torch.ones(batch, count).bool()

    return pooled


def gate_flops(module: nn.Module, tokens: int) -> int:
    """FLOPs of the gate that weighs the keys of a pool, which the indexer multiplies by itself; 0 for other modules."""
    gate: Any = getattr(module, "index_kpool_compress_gate", None)
    return 2 * tokens * gate.numel() if isinstance(gate, torch.Tensor) else 0
