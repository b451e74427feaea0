"""Attention whose heads are experts (JetMoE)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.part import MixerPart


class ExpertAttention(MixerPart):
    """Mixture of attention heads (JetMoE): E pairs of query and output maps, k of them per token, one set of K and V.

        params = E*H + E * 2*H*K*h + H * 2*K*h + H;   scores: 2 * pairs * K*k * 2h;   cache 2*K*h per token

    E num_experts, k num_experts_per_tok, K num_key_value_heads, h head_dim. Source: arXiv:2404.07413, section 2.2.
    """

    is_softmax_attention: ClassVar[bool] = True
    kind: Literal["expert_attention"] = "expert_attention"
    hidden_size: int
    num_experts: int
    num_experts_per_tok: int
    num_key_value_heads: int
    head_dim: int

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, keys = self.hidden_size, self.num_key_value_heads * self.head_dim
        maps = Moe(
            hidden_size=hidden,
            num_experts=self.num_experts,
            num_experts_per_tok=self.num_experts_per_tok,
            moe_intermediate_size=keys,
            gated=False,
        )
        router, query, output = maps.ops(work)
        yield router
        yield replace(query, name="experts.input_linear")
        yield linear("kv_proj", "attention", hidden, 2 * keys, work.tokens, role="key_value")
        heads = Gqa(
            hidden_size=hidden,
            num_attention_heads=self.num_key_value_heads * self.num_experts_per_tok,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
        )
        yield heads.scores(work)
        yield replace(output, name="experts.output_linear")
        yield vector("bias", "attention", hidden, work.tokens)
