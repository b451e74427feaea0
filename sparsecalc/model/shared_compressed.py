"""DeepSeek-V4.1's attention: compressed far context that groups of layers share."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.latent import CompressedAttention


class SharedCompressedAttention(CompressedAttention):
    """V4's attention where the compressed entries, and what the indexer picks of them, serve many layers.

        a source of keys makes the entries: kv_proj H -> h, a gate H -> h where compress_rate > 1, a norm of h;
        the indexer's keys come from them: wk h -> index_head_dim, a norm, once per entry
        a source of indices scores them: q_b_proj, weights_proj, 2 * pooled pairs * index_n_heads * index_head_dim
        every layer reads the best `index_topk` entries, beside its own window

    Cache: h elements per token of the window in every layer, h per compress_rate tokens in the sources of keys alone.
    Source: vLLM 0.33.0, models/deepseek_v41 (attention.py, compressor.py).
    """

    kind: Literal["shared_compressed"] = "shared_compressed"  # type: ignore[assignment]
    is_kv_source: bool = False
    """Whether the layer makes and keeps the entries that it and later layers read."""

    @property
    def keeps_far_cache(self) -> bool:
        """`is_kv_source`."""
        return self.is_kv_source

    def _far(self, work: Workload) -> Iterator[Op]:
        hidden, dim, tokens = self.hidden_size, self.head_dim, work.tokens
        if self.is_kv_source:
            yield linear("compressor.kv_proj", "attention", hidden, dim, tokens, shards=1)
            if self.compress_rate > 1:
                yield linear("compressor.gate_proj", "attention", hidden, dim, tokens, shards=1)
            yield vector("compressor.norm", "norm", dim, tokens)
        if not self.index_n_heads:
            return
        if self.is_kv_source:
            entries = work.context_len // self.compress_rate - work.past // self.compress_rate
            made = work.batch_size * entries
            yield linear("indexer.wk", "attention", dim, self.index_head_dim, made, shards=1)
            yield vector("indexer.k_norm", "norm", self.index_head_dim, made)
        yield from self._indexer(work)
