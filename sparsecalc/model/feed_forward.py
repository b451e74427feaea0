"""Feed-forward parts: dense MLPs and mixtures of experts."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.arrays import Number
from sparsecalc.core.components import Component
from sparsecalc.core.expert_shares import expected_experts_per_tok
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import HasExperts, Part


class DenseMlp(Part):
    """Dense MLP: gated (SwiGLU, GeGLU) 3*H*I, plain 2*H*I, and biases. Source of the gated form: arXiv:2002.05202."""

    kind: Literal["dense"] = "dense"
    component: Component = "dense_ffn"
    hidden_size: int
    intermediate_size: int
    gated: bool = True
    up_bias: bool = False
    down_bias: bool = False

    def ops(self, work: Workload) -> Iterator[Op]:
        matrices = 2 if self.gated else 1
        yield linear(
            "gate_up_proj" if self.gated else "up_proj",
            self.component,
            self.hidden_size,
            self.intermediate_size,
            work.tokens,
            bias=self.up_bias,
            matrices=matrices,
            role="gate_up",
        )
        yield linear(
            "down_proj",
            self.component,
            self.intermediate_size,
            self.hidden_size,
            work.tokens,
            bias=self.down_bias,
            role="neurons",
        )


class Moe(Part):
    """Mixture of experts: a router picks k = num_experts_per_tok of E = num_experts for each token.

        stored = E * (3 or 2) * H * I (+ biases);   active = k / E of it;   flops = 2 * (3 or 2) * H * I * k per token
        read   = expected distinct experts, E * (1 - (1 - k / (E + Z)) ** tokens) under uniform routing;
                 skewed, `Routing.expected_distinct` of E experts and k E / (E + Z) of them per token

    Z zero_experts take part in routing and cost nothing (LongCat-Flash): then fewer than k real experts are expected
    per token, and `active` keeps the upper bound k. Source: arXiv:2101.03961 (Switch), arXiv:2401.06066 (shared).
    """

    kind: Literal["moe"] = "moe"
    hidden_size: int
    expert_input_size: int | None = None
    """Width of the experts' input where it is not hidden_size (latent experts)."""
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    gated: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    """One more element of the router per expert: a bias, or a scale."""
    router_scales: int = 0
    """Elements of the router that do not depend on the number of experts, such as scales of its input."""
    router_input_size: int | None = None
    router_extra: int = 0
    """Outputs of the router beyond one per expert: weights of shared experts (Inkling)."""
    zero_experts: int = 0
    shared_intermediate_size: int = 0
    """Width of all shared experts together."""
    shared_bias: bool = False
    shared_gate: bool = False
    """One more row that gates the shared expert (Qwen2-MoE)."""
    tied: bool = False
    """The router and the routed experts are an earlier layer's (Intern-S2-Mobius)."""

    def check(self) -> None:
        """Raise ValueError where more experts are selected than there are."""
        if self.num_experts_per_tok > self.num_experts + self.zero_experts:
            known = f"num_experts ({self.num_experts})"
            raise ValueError(f"num_experts_per_tok is {self.num_experts_per_tok}, more than {known}")

    @property
    def router_outputs(self) -> int:
        """Outputs of the router, E + Z: one per expert, zero-compute ones included."""
        return self.num_experts + self.zero_experts

    @property
    def mixture(self) -> HasExperts:
        """Itself."""
        return self

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        outputs = self.router_outputs
        width = self.router_input_size or hidden
        yield linear("router", "router", width, outputs + self.router_extra, tokens, tied=self.tied, shards=1)
        if vectors := self.router_scales + (outputs if self.router_bias else 0):
            yield vector("router.bias", "router", vectors, tokens)
        width, read = self.expert_input_size or hidden, self._read_share(work)
        yield self._experts("experts.gate_up_proj" if self.gated else "experts.up_proj", width, True, work, read)
        yield self._experts("experts.down_proj", width, False, work, read)
        if self.shared_intermediate_size:
            shared = DenseMlp(
                component="shared_experts",
                hidden_size=hidden,
                intermediate_size=self.shared_intermediate_size,
                gated=self.gated,
                up_bias=self.shared_bias,
                down_bias=self.shared_bias,
            )
            yield from shared.ops(work)
        if self.shared_gate:
            yield linear("shared_expert_gate", "shared_experts", hidden, 1, tokens, shards=1)

    def _read_share(self, work: Workload) -> Number:
        selected = expected_experts_per_tok(self.num_experts_per_tok, self.num_experts, self.zero_experts)
        distinct = work.routing.expected_distinct(self.num_experts, selected, work.tokens, work.batch_size)
        return distinct / self.num_experts

    def _experts(self, name: str, width: int, up: bool, work: Workload, read_share: Number) -> Op:
        count = self.num_experts
        per_expert = 2 if up and self.gated else 1
        n_in, n_out = (width, self.moe_intermediate_size) if up else (self.moe_intermediate_size, width)
        rows = work.tokens * self.num_experts_per_tok * count // (count + self.zero_experts)
        flops = 2 * work.tokens * self.num_experts_per_tok * n_in * n_out * per_expert
        if self.zero_experts:
            flops = flops * count // (count + self.zero_experts)
        return Op(
            name=name,
            component="routed_experts",
            kind="experts",
            rows=n_out,
            cols=n_in,
            matrices=count * per_expert,
            vectors=count * per_expert * n_out if self.expert_bias else 0,
            tied=self.tied,
            num_experts_per_tok=self.num_experts_per_tok,
            num_experts=count,
            zero_experts=self.zero_experts,
            read_share=read_share,
            tokens=rows,
            flops=flops,
            activation_elements=rows * (n_in + n_out * per_expert),
            scratch_elements=rows * n_out * per_expert,
        )


class RwkvChannelMix(Part):
    """RWKV-4's feed-forward: key H -> I, value I -> H, receptance H -> H. Source: arXiv:2305.13048."""

    kind: Literal["rwkv_channel_mix"] = "rwkv_channel_mix"
    hidden_size: int
    intermediate_size: int

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        yield linear("key", "dense_ffn", hidden, self.intermediate_size, tokens, role="neurons")
        yield linear("value", "dense_ffn", self.intermediate_size, hidden, tokens, role="neurons")
        yield linear("receptance", "dense_ffn", hidden, hidden, tokens)
        yield Op(
            name="time_mix",
            component="dense_ffn",
            kind="vector",
            vectors=2 * hidden,
            state_elements=work.batch_size * hidden,
        )


class IdleExperts(Part):
    """Experts of another modality (ERNIE 4.5 VL's for images): stored, but no text token is routed to them.

    stored = E * 3 * H * I + the router's E * H (+ E with `router_bias`); text tokens read, use and compute none of it.
    """

    kind: Literal["idle_experts"] = "idle_experts"
    hidden_size: int
    num_experts: int
    moe_intermediate_size: int
    router_bias: bool = False

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, width, count = self.hidden_size, self.moe_intermediate_size, self.num_experts
        shapes: tuple[tuple[str, Component, int, int, int, int], ...] = (
            ("vision_router", "router", 1, count, hidden, count if self.router_bias else 0),
            ("vision_experts.gate_up_proj", "routed_experts", 2 * count, width, hidden, 0),
            ("vision_experts.down_proj", "routed_experts", count, hidden, width, 0),
        )
        for name, component, matrices, rows, cols, vectors in shapes:
            yield Op(
                name=name,
                component=component,
                kind="experts",
                rows=rows,
                cols=cols,
                matrices=matrices,
                vectors=vectors,
                num_experts_per_tok=0,
                num_experts=count,
                read_share=0,
            )
