"""Step 5's sparse attention: grouped queries over the regions of past tokens that an indexer picks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sparsecalc.core.arrays import Number, figure, least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa


class RegionSparseAttention(Gqa):
    """GQA where each query sees its own region of `region_size` tokens, and the best `index_topk` closed ones.

        indexer: index_q H -> n*d with a norm, keys k and their weights z H -> d each, a norm of k (gain and bias),
                 weights of the heads H -> n;  one summary of d elements per closed region, kept beside the KV cache
        scores   = 2 * (closed regions that each query could pick) * n * d
        pairs    = (regions picked) * region_size + tokens of the open region;  the rest as `Gqa`

    n index_n_heads, d index_head_dim. A factor per head scales the logits with the length. Source: vLLM 0.33.0,
    models/step5.
    """

    kind: Literal["region_sparse"] = "region_sparse"  # type: ignore[assignment]
    index_n_heads: int
    index_head_dim: int
    index_topk: int
    region_size: int

    def ops(self, work: Workload) -> Iterator[Op]:
        yield from super().ops(work)
        hidden, tokens, dim = self.hidden_size, work.tokens, self.index_head_dim
        yield linear("indexer.q_proj", "attention", hidden, self.index_n_heads * dim, tokens, shards=1)
        yield linear("indexer.k_proj, z_proj", "attention", hidden, dim, tokens, matrices=2, shards=1)
        yield linear("indexer.weights_proj", "attention", hidden, self.index_n_heads, tokens, shards=1)
        yield vector("indexer.q_norm, k_norm", "norm", 3 * dim, tokens)
        yield vector("ssmax_s", "attention", self.num_attention_heads, tokens)
        pairs, held = self._regions(work, None), work.batch_size * (work.context_len // self.region_size) * dim
        yield Op(
            name="indexer.scores",
            component="attention",
            kind="attention",
            role="indexer",
            tokens=tokens,
            flops=2 * pairs * self.index_n_heads * dim,
            index_elements_per_token=dim // self.region_size,
            index_elements=held,
            heads=self.index_n_heads,
            cache_read_elements=held,
            shards=1,
            note=f"{figure(pairs)} query-region pairs x {self.index_n_heads} heads x {dim}",
        )

    def scores(self, work: Workload) -> Op:
        """As `Gqa`, over the tokens of the picked regions and of the open one."""
        pairs = self._regions(work, self.index_topk) * self.region_size + work.pairs(chunk=self.region_size)
        wide = self.head_dim + (self.v_head_dim or self.head_dim)
        seen = least(work.context_len, (self.index_topk + 1) * self.region_size)
        return replace(
            super().scores(work),
            flops=2 * pairs * self.num_attention_heads * wide,
            cache_read_elements=work.batch_size * seen * self.num_key_value_heads * wide,
            note=f"{figure(pairs)} query-key pairs x {self.num_attention_heads} heads x {wide}",
            source="vLLM models/step5",
        )

    def _regions(self, work: Workload, limit: int | None) -> Number:
        """B * sum over the new positions p of min(floor(p / region_size), limit): closed regions before each."""
        last, first = work.context_len // self.region_size, work.past // self.region_size
        if limit is not None:
            last, first = least(last, limit), least(first, limit)
        return work.pooled_pairs(self.region_size, limit) - work.batch_size * (last - first)
