"""Multi-head latent attention (MLA), with or without a sparse indexer (DSA), and DeepSeek-V4's compressed attention."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.arrays import Number, figure, least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import SoftmaxAttention


class Mla(SoftmaxAttention):
    """Multi-head latent attention: the cache holds one latent of kv_lora_rank + qk_rope_head_dim per token.

        expanded: kv_b_proj turns every cached latent into N keys and values;   2 * pairs * N * (nope + rope + v)
        absorbed: kv_b_proj is folded into queries and outputs (2 * N * r * (nope + v) per new token);
                  scores and values on the latent itself                         2 * pairs * N * (2 r + rope)

    r kv_lora_rank. Source: DeepSeek-V2, arXiv:2405.04434, section 2.1; absorbed form: its appendix C.
    """

    kind: Literal["mla"] = "mla"
    hidden_size: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    attention_bias: bool = False
    output_gate: bool = False
    """Kimi K3: the heads' outputs are gated by one map H -> N * v_head_dim."""
    index_n_heads: int = 0
    """DSA: heads of the indexer that picks `index_topk` past tokens for each query; 0: no indexer of its own."""
    index_head_dim: int = 0
    index_topk: int | None = None
    index_k_norm_bias: bool = True
    """Whether the norm of the indexer's keys is a LayerNorm; else it is an RMSNorm."""
    index_kpool: int = 1
    """Tokens whose keys the indexer pools into one, by learned weights, and picks together."""
    index_tail: bool = True
    """Whether a query always sees the tokens after the last whole pool."""
    sliding_window: int | None = None
    kv_shared: bool = False
    """The latents are those of an earlier layer: no map to them, no norm, no cache."""

    @property
    def window(self) -> int | None:
        """`sliding_window`."""
        return self.sliding_window

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, heads, tokens, bias = self.hidden_size, self.num_attention_heads, work.tokens, self.attention_bias
        nope, rope, v, r = self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim, self.kv_lora_rank
        norms = 0 if self.kv_shared else r
        if self.q_lora_rank is None:
            yield linear("q_proj", "attention", hidden, heads * (nope + rope), tokens)
        else:
            norms += self.q_lora_rank
            yield linear("q_a_proj", "attention", hidden, self.q_lora_rank, tokens, bias=bias, shards=1)
            yield linear("q_b_proj", "attention", self.q_lora_rank, heads * (nope + rope), tokens)
        if not self.kv_shared:
            width = r + rope
            yield linear(
                "kv_a_proj_with_mqa", "attention", hidden, width, tokens, bias=bias, shards=1, role="key_value"
            )
        yield vector("latent_norms", "norm", norms, tokens)
        absorbed = work.latent_attention == "absorbed" or (work.latent_attention == "auto" and work.phase == "decode")
        seen = work.context_len if self.sliding_window is None else self._expanded(work)
        expanded_tokens = tokens if absorbed else work.batch_size * seen
        yield linear("kv_b_proj", "attention", r, heads * (nope + v), expanded_tokens)
        yield from self._indexer(work)
        if self.output_gate:
            yield linear("g_proj", "attention", hidden, heads * v, tokens)
        yield self._scores(work, absorbed)
        yield linear("o_proj", "attention", heads * v, hidden, tokens, bias=bias)

    def _expanded(self, work: Workload) -> Number:
        """Cached tokens that a step in a window expands: the new ones, and what the window holds before them."""
        return least(work.context_len, work.new_tokens + (self.sliding_window or 0) - 1)

    def _scores(self, work: Workload, absorbed: bool) -> Op:
        limit, window = self.index_topk, self.sliding_window
        pairs = work.pairs(window) if window else work.indexed_pairs(limit, self.index_kpool, self.index_tail)
        per_pair = 2 * self.kv_lora_rank + self.qk_rope_head_dim
        if not absorbed:
            per_pair = self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim
        latent = self.kv_lora_rank + self.qk_rope_head_dim
        per_token = 0 if self.kv_shared else latent
        heads = self.num_attention_heads
        seen = work.context_len if not (window or limit) else least(work.context_len, window or limit)
        held = work.context_len if window is None else seen
        form = "absorbed" if absorbed else "expanded"
        return Op(
            name="scores_and_values",
            component="attention",
            kind="attention",
            tokens=work.tokens,
            flops=2 * pairs * heads * per_pair,
            kv_elements_per_token=per_token,
            kv_elements=work.batch_size * held * per_token,
            activation_elements=work.tokens * heads * per_pair,
            scratch_elements=work.tokens * heads * self.v_head_dim,
            heads=heads,
            cache_read_elements=work.batch_size * seen * latent,
            shards=1,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x {per_pair} ({form})",
            kv_note=f"({self.kv_lora_rank} + {self.qk_rope_head_dim})",
            source="arXiv:2405.04434",
        )

    def _indexer(self, work: Workload) -> Iterator[Op]:
        """DSA's lightning indexer: index_n_heads small heads score every past token, and are summed by weight.

        2 * pairs * index_n_heads * (index_head_dim + 1). Source: DeepSeek-V3.2-Exp report.

        With pools of P = index_kpool tokens (GLM-5.3-Flash; transformers' glm5_next) the pairs and the indexer's cache
        are of pools: one key of index_head_dim for P tokens; engines keep the last, unfinished pool beside it.
        """
        if not self.index_n_heads:
            return
        wide = self.index_n_heads * self.index_head_dim
        yield linear("indexer.wq_b", "attention", self.q_lora_rank or self.hidden_size, wide, work.tokens, shards=1)
        yield linear("indexer.wk", "attention", self.hidden_size, self.index_head_dim, work.tokens, shards=1)
        gains = (2 if self.index_k_norm_bias else 1) * self.index_head_dim
        yield vector("indexer.k_norm", "norm", gains, work.tokens)
        yield linear("indexer.weights_proj", "attention", self.hidden_size, self.index_n_heads, work.tokens, shards=1)
        pool, dim = self.index_kpool, self.index_head_dim
        if pool > 1:
            yield linear("indexer.index_kpool_compress_gate", "attention", self.hidden_size, dim, work.tokens, shards=1)
            yield vector("indexer.index_kpool_compress_ape", "attention", pool * dim, work.tokens)
        pairs = work.pooled_pairs(pool) if pool > 1 else work.pairs()
        entries = work.batch_size * (work.context_len // pool)
        yield Op(
            name="indexer.scores",
            component="attention",
            kind="attention",
            role="indexer",
            tokens=work.tokens,
            flops=2 * pairs * self.index_n_heads * (self.index_head_dim + 1),
            index_elements_per_token=dim // pool,
            index_elements=entries * dim,
            heads=self.index_n_heads,
            cache_read_elements=entries * dim,
            shards=1,
            note=f"{figure(pairs)} query-key pairs x {self.index_n_heads} heads x ({self.index_head_dim} + 1)",
            source="DeepSeek-V3.2-Exp technical report",
        )


class CompressedAttention(SoftmaxAttention):
    """DeepSeek-V4's attention: one shared key-value head, a sliding window, and a compressed far context.

        q = q_b(norm(q_a(x))), N heads of h;  kv = norm(kv_proj(x)), one head of h, keys and values alike
        far context: one entry per `compress_rate` tokens; with an indexer the best `index_topk` of them per query
        output: o_groups groups, N*h -> o_groups * o_lora_rank -> hidden_size

    pairs = window pairs + far pairs; flops = 2 * pairs * N * 2h + the projections'.
    Cache: h elements per token of the window (keys are values), and h per `compress_rate` tokens of the far context;
    beside them the indexer's own compressed keys. Source: transformers' deepseek_v4; DeepSeek-V4 report.
    """

    kind: Literal["compressed"] = "compressed"
    hidden_size: int
    head_dim: int
    q_lora_rank: int
    o_groups: int
    o_lora_rank: int
    sliding_window: int
    compress_rate: int = 0
    """Tokens per compressed entry; 0: the window only."""
    overlap: bool = False
    """Two interleaved streams of entries (CSA), so projections twice as wide."""
    index_n_heads: int = 0
    index_head_dim: int = 0
    index_topk: int | None = None

    @property
    def keeps_far_cache(self) -> bool:
        """Whether the layer keeps compressed entries of its own."""
        return True

    @property
    def window(self) -> int | None:
        """`sliding_window`; older context is compressed."""
        return self.sliding_window

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, heads, dim, tokens = self.hidden_size, self.num_attention_heads, self.head_dim, work.tokens
        yield linear("q_a_proj", "attention", hidden, self.q_lora_rank, tokens, shards=1)
        yield linear("q_b_proj", "attention", self.q_lora_rank, heads * dim, tokens)
        yield linear("kv_proj", "attention", hidden, dim, tokens, shards=1, role="key_value")
        yield vector("q_a_norm, kv_norm", "norm", self.q_lora_rank + dim, tokens)
        yield vector("sinks", "attention", heads, tokens)
        yield from self._far(work)
        yield self._scores(work)
        group_in = heads * dim // self.o_groups
        yield linear("o_a_proj", "attention", group_in, self.o_lora_rank, tokens, matrices=self.o_groups)
        yield linear("o_b_proj", "attention", self.o_groups * self.o_lora_rank, hidden, tokens)

    def _far(self, work: Workload) -> Iterator[Op]:
        """What makes the compressed entries, and what picks among them."""
        if self.compress_rate:
            yield from self._compressor("compressor", self.head_dim, work)
        if self.index_n_heads:
            yield from self._compressor("indexer", self.index_head_dim, work)
            yield from self._indexer(work)

    def _indexer(self, work: Workload) -> Iterator[Op]:
        """Queries, weights and scores of the indexer, and the keys that it keeps."""
        tokens, wide = work.tokens, self.index_n_heads * self.index_head_dim
        yield linear("indexer.q_b_proj", "attention", self.q_lora_rank, wide, tokens, shards=1)
        yield linear("indexer.weights_proj", "attention", self.hidden_size, self.index_n_heads, tokens, shards=1)
        pairs, held = work.pooled_pairs(self.compress_rate), self._entries(work) * self.index_head_dim
        yield Op(
            name="indexer.scores",
            component="attention",
            kind="attention",
            role="indexer",
            tokens=tokens,
            flops=2 * pairs * wide,
            index_elements_per_token=self.index_head_dim // self.compress_rate if self.keeps_far_cache else 0,
            index_elements=held if self.keeps_far_cache else 0,
            heads=self.index_n_heads,
            cache_read_elements=held,
            shards=1,
            note=f"{figure(pairs)} pairs x {self.index_n_heads} heads x {self.index_head_dim}",
        )

    def _compressor(self, name: str, dim: int, work: Workload) -> Iterator[Op]:
        width = dim * (2 if self.overlap else 1)
        yield linear(f"{name}.kv_proj", "attention", self.hidden_size, width, work.tokens, shards=1)
        yield linear(f"{name}.gate_proj", "attention", self.hidden_size, width, work.tokens, shards=1)
        yield vector(f"{name}.position_bias", "attention", self.compress_rate * width, work.tokens)
        yield vector(f"{name}.kv_norm", "norm", dim, work.tokens)

    def _entries(self, work: Workload) -> int:
        """Compressed entries of all sequences at the end of the step."""
        return work.batch_size * (work.context_len // self.compress_rate) if self.compress_rate else 0

    def _scores(self, work: Workload) -> Op:
        pairs, far, far_entries = work.pairs(self.sliding_window), "", self._entries(work)
        heads, dim, held = self.num_attention_heads, self.head_dim, far_entries if self.keeps_far_cache else 0
        per_token = dim
        if self.compress_rate:
            pairs += work.pooled_pairs(self.compress_rate, self.index_topk)
        if self.compress_rate and self.keeps_far_cache:
            per_token += dim // self.compress_rate
            far = f" + {dim} / {self.compress_rate}"
        if self.index_topk:
            far_entries = least(far_entries, work.batch_size * self.index_topk)
        window = work.batch_size * least(work.context_len, self.sliding_window)
        return Op(
            name="scores_and_values",
            component="attention",
            kind="attention",
            tokens=work.tokens,
            flops=2 * pairs * heads * 2 * dim,
            kv_elements_per_token=per_token,
            kv_elements=(window + held) * dim,
            heads=heads,
            kv_heads=1,
            cache_read_elements=(window + far_entries) * dim,
            shards=1,
            activation_elements=work.tokens * heads * 2 * dim,
            scratch_elements=work.tokens * heads * dim,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x 2 x {dim}",
            kv_note=f"({dim}{far})",
            source="transformers deepseek_v4",
        )
