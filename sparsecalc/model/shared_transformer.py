"""Zamba2's transformer block, whose weights many layers share."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp
from sparsecalc.model.part import MixerPart


class SharedTransformer(MixerPart):
    """Zamba2: attention over the hidden state and the embedding side by side (2H), then an MLP, shared by many layers.

    One of `num_mem_blocks` sets of weights is used in turn; a layer `owns` the set that it is the first to use. Each
    layer has its own low-rank adapters and cache, and a projection H -> H after the block. Source: arXiv:2411.15242.
    """

    is_softmax_attention: ClassVar[bool] = True
    kind: Literal["shared_transformer"] = "shared_transformer"
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    mlp_bias: bool = False
    adapter_rank: int
    attention_adapters: bool = False
    owns: bool

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_attention_heads`."""
        return self.num_attention_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        yield from (replace(op, tied=not self.owns) if op.used_params else op for op in self._shared(work))
        hidden, rank, tokens = self.hidden_size, self.adapter_rank, work.tokens
        if self.attention_adapters:
            yield linear("adapters down", "attention", 2 * hidden, rank, tokens, matrices=3)
            yield linear("adapters up", "attention", rank, 2 * hidden, tokens, matrices=3)
        yield linear("gate_up_proj_adapter down", "dense_ffn", hidden, rank, tokens, role="gate_up_adapter")
        yield linear(
            "gate_up_proj_adapter up", "dense_ffn", rank, 2 * self.intermediate_size, tokens, role="gate_up_adapter"
        )
        yield linear("linear", "other", hidden, hidden, tokens)

    def _shared(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        heads = Gqa(
            hidden_size=hidden,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
        )
        yield vector("input_layernorm, pre_ff_layernorm", "norm", 3 * hidden, tokens)
        yield linear("q_proj", "attention", 2 * hidden, queries, tokens)
        yield linear("k_proj", "attention", 2 * hidden, keys, tokens, role="key_value")
        yield linear("v_proj", "attention", 2 * hidden, keys, tokens, role="key_value")
        yield heads.scores(work)
        yield linear("o_proj", "attention", queries, hidden, tokens)
        dense = DenseMlp(
            hidden_size=hidden,
            intermediate_size=self.intermediate_size,
            up_bias=self.mlp_bias,
            down_bias=self.mlp_bias,
        )
        yield from dense.ops(work)
