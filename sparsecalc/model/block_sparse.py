"""Attention to blocks of keys that an indexer picks for each query (MiniMax-M3, Qwen4-Exp)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sparsecalc.core.arrays import Number, figure, least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.part import SoftmaxAttention


class BlockSparseAttention(SoftmaxAttention):
    """Grouped-query attention whose queries see `index_topk_blocks` blocks of `index_block_size` keys.

        projections and norms  those of `Gqa`, with norms over the heads of queries and keys
        scores and values      2 * pairs * N * 2h, pairs: those of the picked blocks
        indexer                H * (n + 1) * d + 2d parameters; scores 2 * index pairs * n * d
        cache                  2 * K * h elements per token, and the indexer's own keys

    N query heads, K key-value heads, h head_dim, n index_n_heads, d index_head_dim. MiniMax-M3 scores every past key,
    caches them all, and counts the query's own block among the picked (`Workload.block_pairs`). Qwen4-Exp (`pooled`)
    averages the keys of each whole block into one, scores and caches those, and the tokens after the last whole block
    are seen beside the picked (`Workload.indexed_pairs`). Sources: transformers' minimax_m3_vl and qwen4_exp.
    """

    kind: Literal["block_sparse"] = "block_sparse"
    hidden_size: int
    num_key_value_heads: int
    head_dim: int
    bias: bool = False
    output_gate: Literal["none", "per_element"] = "none"
    index_n_heads: int
    index_head_dim: int
    index_block_size: int
    index_topk_blocks: int
    pooled: bool = False

    @property
    def index_topk(self) -> int:
        """Past tokens that a query picks at most."""
        return self.index_topk_blocks * self.index_block_size

    def ops(self, work: Workload) -> Iterator[Op]:
        whole = Gqa(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            qkv_bias=self.bias,
            o_bias=self.bias,
            output_gate=self.output_gate,
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
        block, heads, width = self.index_block_size, self.num_attention_heads, 2 * self.head_dim
        if self.pooled:
            pairs = work.indexed_pairs(self.index_topk, block)
        else:
            pairs = work.block_pairs(block, self.index_topk_blocks)
        seen = work.batch_size * least(work.context_len, self.index_topk)
        return replace(
            op,
            flops=2 * pairs * heads * width,
            cache_read_elements=seen * op.kv_elements_per_token,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x ({self.head_dim} + {self.head_dim})",
            source="transformers",
        )

    def _indexer(self, work: Workload) -> Iterator[Op]:
        hidden, heads, dim, tokens = self.hidden_size, self.index_n_heads, self.index_head_dim, work.tokens
        yield linear("indexer.q_proj", "attention", hidden, heads * dim, tokens, shards=1)
        yield linear("indexer.k_proj", "attention", hidden, dim, tokens, shards=1)
        yield vector("indexer.norms", "norm", 2 * dim, tokens)
        block = self.index_block_size if self.pooled else 1
        pairs: Number = work.pooled_pairs(block) if self.pooled else work.pairs()
        entries = work.batch_size * (work.context_len // block)
        yield Op(
            name="indexer.scores",
            component="attention",
            kind="attention",
            role="indexer",
            tokens=tokens,
            flops=2 * pairs * heads * dim,
            index_elements_per_token=dim // block,
            index_elements=entries * dim,
            heads=heads,
            cache_read_elements=entries * dim,
            shards=1,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x {dim}",
            source="transformers",
        )
