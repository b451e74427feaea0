"""Attention to blocks of keys that an indexer picks for each query (MiniMax-M3)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from sparsecalc.core.arrays import figure, least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.part import MixerPart


class BlockSparseAttention(MixerPart):
    """Grouped-query attention whose queries see `index_topk_blocks` blocks of `index_block_size` keys, their own too.

        projections and norms  those of `Gqa`, with norms over the heads of queries and keys
        scores and values      2 * pairs * N * 2h, pairs: those of the picked blocks, `Workload.block_pairs`
        indexer                H * (n + 1) * d + 2d parameters; every past key is scored: 2 * all pairs * n * d
        cache                  2 * K * h elements per token, and the indexer's own keys, d per token

    N query heads, K key-value heads, h head_dim, n index_n_heads, d index_head_dim. Source: transformers' minimax_m3_vl.
    """

    is_softmax_attention: ClassVar[bool] = True
    kind: Literal["block_sparse"] = "block_sparse"
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    index_n_heads: int
    index_head_dim: int
    index_block_size: int
    index_topk_blocks: int

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_attention_heads`."""
        return self.num_attention_heads

    @property
    def index_topk(self) -> int:
        """Past tokens that a query sees at most."""
        return self.index_topk_blocks * self.index_block_size

    def ops(self, work: Workload) -> Iterator[Op]:
        whole = Gqa(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            qk_norm=2 * self.head_dim,
        )
        for op in whole.ops(work):
            if op.kind == "attention":
                yield from self._indexer(work)
                yield self._picked(op, work)
            else:
                yield op

    def _picked(self, op: Op, work: Workload) -> Op:
        """The scores over the picked blocks; all keys and values stay in the cache."""
        pairs = work.block_pairs(self.index_block_size, self.index_topk_blocks)
        heads, width = self.num_attention_heads, 2 * self.head_dim
        seen = work.batch_size * least(work.context_len, self.index_topk)
        return replace(
            op,
            flops=2 * pairs * heads * width,
            cache_read_elements=seen * op.kv_elements_per_token,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x ({self.head_dim} + {self.head_dim})",
            source="transformers minimax_m3_vl",
        )

    def _indexer(self, work: Workload) -> Iterator[Op]:
        hidden, heads, dim, tokens = self.hidden_size, self.index_n_heads, self.index_head_dim, work.tokens
        yield linear("indexer.q_proj", "attention", hidden, heads * dim, tokens, shards=1)
        yield linear("indexer.k_proj", "attention", hidden, dim, tokens, shards=1)
        yield vector("indexer.norms", "norm", 2 * dim, tokens)
        pairs = work.pairs()
        yield Op(
            name="indexer.scores",
            component="attention",
            kind="attention",
            role="indexer",
            tokens=tokens,
            flops=2 * pairs * heads * dim,
            index_elements_per_token=dim,
            index_elements=work.batch_size * work.context_len * dim,
            heads=heads,
            cache_read_elements=work.batch_size * work.context_len * dim,
            shards=1,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x {dim}",
            source="transformers minimax_m3_vl",
        )
