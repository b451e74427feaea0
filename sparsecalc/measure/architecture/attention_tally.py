"""Attention on the meta device, counted over the pairs of tokens that the mask leaves instead of multiplied."""

from typing import Any

import torch
from torch import nn

from sparsecalc.core.workload import Workload

_NOT_GIVEN = -1
"""None means no window, so that it cannot stand for a missing argument."""


class AttentionTally:
    """FLOPs that the attention functions of one forward pass add up; `past` tokens are in the cache."""

    def __init__(self, config: Any, past: int) -> None:
        self.flops, self.past = 0, past
        self.chunk = getattr(config, "attention_chunk_size", None)
        self.layer_types = getattr(config, "layer_types", None)
        self.selected = getattr(config, "index_topk", None) or getattr(config, "indexer_budget", None)
        self.pool = getattr(config, "index_kpool", None) or getattr(config, "indexer_compress_ratio", None) or 1
        self.tail = getattr(config, "index_kpool_always_select_tail", True)
        self.mask_window = None if self.layer_types else getattr(config, "sliding_window", None)

    def attend(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any = None,
        sliding_window: int | None = _NOT_GIVEN,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """2 * heads * (h + v) per visible pair, and an output of the right shape."""
        batch, heads, new, width = query.shape
        causal = bool(getattr(module, "is_causal", True))
        context = self.past + new if causal else key.shape[-2]
        work = Workload(batch_size=batch, new_tokens=new, context_len=context, causal=causal)
        pairs = work.pairs(*self.limits(module, sliding_window)) + self._far_pairs(module, work)
        if self.pool > 1 and self._kind(module) == "indexed_attention":
            pairs = work.indexed_pairs(self.selected, self.pool, self.tail)
        if kwargs.get("block_indices") is not None:  # MiniMax-M3: the blocks of keys that an indexer picked
            indexer: Any = module.indexer
            pairs = work.block_pairs(indexer.block_size, indexer.topk_blocks)
        self.flops += 2 * pairs * heads * (width + value.shape[-1])
        return query.new_empty((batch, new, heads, value.shape[-1])), None

    def limits(self, module: nn.Module, sliding_window: int | None = _NOT_GIVEN) -> tuple[int | None, int | None]:
        """The window and the chunk that bound what a query of `module` sees."""
        window = self._window(module) if sliding_window == _NOT_GIVEN else sliding_window
        if self._kind(module) == "indexed_attention":
            window = self.selected  # the mask leaves each query the tokens that the indexer picked
        chunk = self.chunk if self.layer_types and self._kind(module) == "chunked_attention" else None
        return window, chunk

    def _far_pairs(self, module: nn.Module, work: Workload) -> int:
        """DeepSeek-V4: pairs with compressed entries, of which an indexer picks some."""
        compressor: Any = getattr(module, "compressor", None)
        rate = getattr(compressor, "compress_rate", None)
        return work.pooled_pairs(rate, self.selected if hasattr(compressor, "indexer") else None) if rate else 0

    def _window(self, module: nn.Module) -> int | None:
        """The window of a module that leaves it to the mask: its own, or the whole model's."""
        own: int | None = getattr(module, "sliding_window", None)
        return own or self.mask_window

    def _kind(self, module: nn.Module) -> str:
        index = getattr(module, "layer_idx", 0)
        return str(self.layer_types[index]) if self.layer_types and index < len(self.layer_types) else ""
