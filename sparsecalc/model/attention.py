"""Softmax attention with a cache of keys and values: MHA, MQA, GQA, windowed, chunked, gated, shared."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.arrays import Number, figure, least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import SoftmaxAttention


class Gqa(SoftmaxAttention):
    """Grouped-query attention (MHA: K = N heads; MQA: K = 1).

        params  = H*N*h * (2 if gated) + H*K*(h + v) + N*v*H + biases + q/k norms
        flops   = 2 * params of the projections * tokens + 2 * pairs * N * (h + v)
        cache   = K * (h + v) elements per token, at most `sliding_window` tokens

    N query heads, K key-value heads, h head_dim, v v_head_dim. Source: GQA, arXiv:2305.13245.
    """

    kind: Literal["gqa"] = "gqa"
    name: str = "self_attn"
    hidden_size: int
    input_size: int | None = None
    """Width of what q, k and v read, where it is not hidden_size (EAGLE-3: embedding beside hidden state)."""
    num_key_value_heads: int
    head_dim: int
    v_head_dim: int | None = None
    qkv_bias: bool = False
    k_bias: bool | None = None
    """Where only the key projection differs from the others (Whisper-like); None: as `qkv_bias`."""
    o_bias: bool = False
    qk_norm: int = 0
    """Elements of all norms over queries and keys (and values) of a layer."""
    qk_norm_layers: int = 0
    sliding_window: int | None = None
    attention_chunk_size: int | None = None
    output_gate: Literal["none", "per_element", "per_head"] = "none"
    """per_element: the query projection is twice as wide; per_head: one more projection to N gates."""
    sinks: bool = False
    key_value: Literal["own", "shared", "cross"] = "own"
    """shared: keys and values of an earlier layer, no projections and no cache; cross: of the encoder's output."""
    source_len: int | None = None
    """cross: the length of the source where the model sets it (Whisper's audio frames); None: the context's."""
    kept: bool = True
    """False: keys and values are computed and seen, but not kept (a pass of a looped layer before the last)."""
    v_proj: bool = True
    """False where values are the keys' projection (K = V)."""
    q_lora_rank: int | None = None
    """Step 3: queries go through a bottleneck of this width, with a norm; None: one map."""
    causal: bool = True
    relative_attention_num_buckets: int = 0
    """T5: a table of buckets x N biases, in the first layer of a stack."""

    @property
    def window(self) -> int | None:
        """`sliding_window`, or `attention_chunk_size`."""
        return self.sliding_window or self.attention_chunk_size

    def ops(self, work: Workload) -> Iterator[Op]:
        value_dim = self.v_head_dim or self.head_dim
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        values = self.num_key_value_heads * value_dim
        mixed = self.num_attention_heads * value_dim
        width = self.input_size or self.hidden_size
        hidden, tokens, bias, kv_heads = self.hidden_size, work.tokens, self.qkv_bias, self.num_key_value_heads
        source_tokens = tokens if self.key_value == "own" else work.batch_size * self._source(work)
        if self.key_value == "cross" and work.phase == "decode":
            source_tokens = 0  # keys and values of the source are computed once, with the prompt
        gate = 2 if self.output_gate == "per_element" else 1
        if self.q_lora_rank:
            yield linear("q_a_proj", "attention", width, self.q_lora_rank, tokens, bias=bias, shards=1)
            yield vector("q_a_norm", "norm", self.q_lora_rank, tokens)
        wide = self.q_lora_rank or width
        yield linear("q_proj", "attention", wide, queries * gate, tokens, bias=bias, role="query_head")
        if self.key_value != "shared":
            k_bias = bias if self.k_bias is None else self.k_bias
            yield linear(
                "k_proj", "attention", width, keys, source_tokens, bias=k_bias, shards=kv_heads, role="key_value"
            )
            if self.v_proj:
                yield linear(
                    "v_proj", "attention", width, values, source_tokens, bias=bias, shards=kv_heads, role="key_value"
                )
        if self.output_gate == "per_head":
            yield linear("gate_proj", "attention", width, self.num_attention_heads, tokens, role="query_head")
        if self.qk_norm:
            yield vector("qk_norm", "norm", self.qk_norm, tokens)
        if self.sinks:
            yield vector("sinks", "attention", self.num_attention_heads, tokens)
        if self.relative_attention_num_buckets:
            buckets = self.relative_attention_num_buckets * self.num_attention_heads
            yield vector("relative_attention_bias", "attention", buckets, tokens)
        yield self.scores(work)
        yield linear("o_proj", "attention", mixed, hidden, tokens, bias=self.o_bias, role="query_head")

    def _source(self, work: Workload) -> Number:
        """Tokens whose keys and values a sequence sees."""
        return work.context_len if self.source_len is None else self.source_len

    def scores(self, work: Workload) -> Op:
        """Scores and weighted values: 2 * pairs * N * (h + v), and the cache that they read."""
        value_dim = self.v_head_dim or self.head_dim
        pairs = work.pairs(self.sliding_window, self.attention_chunk_size)
        if not self.causal or self.key_value == "cross":
            pairs = work.batch_size * work.new_tokens * self._source(work)
        limit = self.window
        width = self.num_key_value_heads * (self.head_dim + value_dim)
        cached = self.key_value != "shared" and self.causal and self.kept  # an encoder keeps nothing for later steps
        per_token = width if cached else 0
        held = self._source(work) if limit is None else least(work.context_len, limit)
        heads = self.num_attention_heads
        return Op(
            name="scores_and_values",
            component="attention",
            kind="attention",
            role="query_head",
            tokens=work.tokens,
            flops=2 * pairs * heads * (self.head_dim + value_dim),
            kv_elements_per_token=per_token if self.source_len is None else 0,
            kv_elements=work.batch_size * held * per_token,
            activation_elements=work.tokens * heads * (self.head_dim + value_dim),
            scratch_elements=work.tokens * heads * value_dim,
            heads=heads,
            kv_heads=self.num_key_value_heads,
            cache_read_elements=work.batch_size * held * width,
            shards=self.num_key_value_heads,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x ({self.head_dim} + {value_dim})",
            kv_note=f"{self.num_key_value_heads} heads x ({self.head_dim} + {value_dim})",
            source="arXiv:2305.13245",
        )
