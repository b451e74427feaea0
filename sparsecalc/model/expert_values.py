"""Attention whose values are made by experts (K2 Horizon)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe


class ExpertValues(Gqa):
    """Mixture of value attention (MoVA): a router picks k of E value projections H -> K*v for each token.

        params = E * H*K*v + the router's E*H (+ E with `value_router_bias`), in place of H*K*v; the rest as `Gqa`

    The cache holds their weighted sum, K*v elements per token. Source: vLLM 0.33.0, k2_horizon.py.
    """

    kind: Literal["expert_values"] = "expert_values"  # type: ignore[assignment]
    num_value_experts: int
    num_value_experts_per_tok: int
    value_router_bias: bool = False

    def ops(self, work: Workload) -> Iterator[Op]:
        maps = Moe(
            hidden_size=self.hidden_size,
            num_experts=self.num_value_experts,
            num_experts_per_tok=self.num_value_experts_per_tok,
            moe_intermediate_size=self.num_key_value_heads * (self.v_head_dim or self.head_dim),
            gated=False,
            router_bias=self.value_router_bias,
        )
        *router, up, _ = maps.ops(work)
        for op in super().ops(work):
            if op.name == "v_proj":
                yield from (replace(each, name=f"value_{each.name}") for each in router)
                yield replace(up, name="value_experts")
            else:
                yield op
