"""Parts that are derived from a real model's tensors and a forward pass, for families whose config has no reader.

`measure/derive` fills them; they hold what was stored, computed and cached. Only roles are inferred from names.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from sparsecalc.core.arrays import Number, figure, least
from sparsecalc.core.components import Component, Role
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import HasExperts, MixerPart, Part

_KEY_VALUE_NAMES = ("k_proj", "v_proj", "kv_proj", "kv_a_proj_with_mqa")


def role_of(name: str, component: Component) -> Role:
    """The role of a projection by the name that its family gave it."""
    if name in _KEY_VALUE_NAMES:
        return "key_value"
    if name.startswith("indexer"):
        return "indexer"
    if component == "state_space":
        return "state_update" if name == "dt_proj" else ""
    if component not in ("dense_ffn", "shared_experts") or name == "receptance":
        return ""
    is_gate_up = name.startswith(("gate_up", "up_proj"))
    if "adapter" in name:
        return "gate_up_adapter" if is_gate_up else ""
    return "gate_up" if is_gate_up else "neurons"


class Weights(Part):
    """Equal stored matrices, or vectors, and the FLOPs that a real forward pass spent on them.

        params = matrices * rows * cols + vectors
        active = params * num_experts_per_tok / num_experts
        flops  = B * (T * flops_per_token + S * flops_per_context_token)

    `flops_per_context_token`: maps that run again over all past tokens (a latent that is expanded in every step).
    """

    kind: Literal["weights"] = "weights"
    name: str
    component: Component
    rows: int = 0
    cols: int = 0
    matrices: int = 0
    vectors: int = 0
    tied: bool = False
    flops_per_token: int = 0
    flops_per_context_token: int = 0
    num_experts_per_tok: int = 1
    num_experts: int = 1
    op: Literal["matmul", "conv", "scan"] = "matmul"
    """scan: multiplied inside a state update."""

    def check(self) -> None:
        """Raise ValueError where more experts are selected than there are."""
        if not 0 < self.num_experts_per_tok <= self.num_experts:
            raise ValueError(f"{self.name}: {self.num_experts_per_tok} of {self.num_experts} experts")

    def ops(self, work: Workload) -> Iterator[Op]:
        flops = work.batch_size * (
            work.new_tokens * self.flops_per_token + work.context_len * self.flops_per_context_token
        )
        used = max(1, self.matrices // self.num_experts)
        one_row = 2 * used * self.rows * self.cols
        rows = flops // one_row if one_row and flops % one_row == 0 else work.tokens
        reached: Number = 1
        if self.num_experts > 1:
            reached = work.routing.expected_distinct(
                self.num_experts, self.num_experts_per_tok, work.tokens, work.batch_size
            )
        yield Op(
            name=self.name,
            component=self.component,
            kind="experts" if self.num_experts > 1 else self.op if self.matrices or flops else "vector",
            role=role_of(self.name, self.component),
            rows=self.rows,
            cols=self.cols,
            matrices=self.matrices,
            vectors=self.vectors,
            tied=self.tied,
            num_experts_per_tok=self.num_experts_per_tok,
            num_experts=self.num_experts,
            read_share=reached / self.num_experts,
            tokens=rows,
            flops=flops,
            activation_elements=rows * (self.cols + self.rows * used),
            scratch_elements=rows * self.rows * used,
            note=f"{figure(rows)} rows x {used * self.rows * self.cols:,} elements" if self.op == "scan" else "",
        )


class Scores(Part):
    """Scores and weighted values of one call of an attention function: 2 * pairs * N * (h + v).

    pairs are those that the mask leaves: causal, in a window W, in chunks, or all T * S. Source: the call's arguments.
    """

    kind: Literal["scores"] = "scores"
    name: str = "scores_and_values"
    num_attention_heads: int
    head_dim: int
    v_head_dim: int
    sliding_window: int | None = None
    attention_chunk_size: int | None = None
    causal: bool = True

    @property
    def is_indexer(self) -> bool:
        """Whether the call only scores what an attention then picks."""
        return role_of(self.name, "attention") == "indexer"

    def ops(self, work: Workload) -> Iterator[Op]:
        yield self.op(work, self.head_dim + self.v_head_dim)

    def op(self, work: Workload, per_pair: int) -> Op:
        """2 * pairs * N * per_pair."""
        pairs = work.pairs(self.sliding_window, self.attention_chunk_size)
        if not self.causal:
            pairs = work.batch_size * work.new_tokens * work.context_len
        heads, wide = self.num_attention_heads, self.head_dim + self.v_head_dim
        return Op(
            name=self.name,
            component="attention",
            kind="attention",
            role="indexer" if self.is_indexer else "",
            tokens=work.tokens,
            flops=2 * pairs * heads * per_pair,
            activation_elements=work.tokens * heads * wide,
            scratch_elements=work.tokens * heads * self.v_head_dim,
            heads=heads,
            note=f"{figure(pairs)} query-key pairs x {heads} heads x {per_pair}",
        )


class DerivedAttention(MixerPart):
    """Attention as it ran: its weights, its calls of an attention function, and what it left in the cache.

    cache = cache_per_token elements per token, at most `cache_window` tokens
    a latent cache (latent_rank r): absorbed, scores and values are 2 * pairs * N * (r + cache_per_token), and the
    maps that expand the latent run over the new tokens only (DeepSeek-V2, arXiv:2405.04434, appendix C)
    """

    is_softmax_attention: ClassVar[bool] = True
    kind: Literal["attention"] = "attention"
    weights: tuple[Weights, ...] = ()
    scores: tuple[Scores, ...] = ()
    cache_per_token: int = 0
    cache_window: int | None = None
    index_per_token: int = 0
    """Elements of an indexer's own key cache."""
    latent_rank: int = 0

    @property
    def window(self) -> int | None:
        """The narrowest bound on what a query sees, for the layer's label."""
        bounds = [bound for call in self.scores for bound in (call.sliding_window, call.attention_chunk_size) if bound]
        return min(bounds, default=None)

    def ops(self, work: Workload) -> Iterator[Op]:
        auto = work.latent_attention == "auto" and work.phase == "decode"
        absorbed = bool(self.latent_rank) and (auto or work.latent_attention == "absorbed")
        products = work.but(context_len=work.new_tokens) if absorbed else work
        rows = [op for part in self.weights for op in part.ops(products)]
        yield from rows[:-1]
        for call in self.scores:
            per_pair = self.latent_rank + self.cache_per_token if absorbed else call.head_dim + call.v_head_dim
            yield call.op(work, call.head_dim + call.v_head_dim if call.is_indexer else per_pair)
        if self.cache_per_token or self.index_per_token:
            yield self._cache(work)
        yield from rows[-1:]

    def _cache(self, work: Workload) -> Op:
        held = work.context_len if self.cache_window is None else least(work.context_len, self.cache_window)
        return Op(
            name="cache",
            component="attention",
            kind="vector",
            kv_elements_per_token=self.cache_per_token,
            kv_elements=work.batch_size * held * self.cache_per_token,
            index_elements_per_token=self.index_per_token,
            index_elements=work.batch_size * work.context_len * self.index_per_token,
            cache_read_elements=work.batch_size
            * (held * self.cache_per_token + work.context_len * self.index_per_token),
        )


class DerivedRecurrent(MixerPart):
    """A recurrent mixer as it ran: its weights, and the states that the cache held for it.

        flops = 2 * tokens * state * products + those of the weights

    products: 2 per state element (update and read-out), 3 with a delta rule, 0 where the recurrence is elementwise.
    The state is measured; the products are this formula, since the pass on meta runs another algorithm.
    """

    kind: Literal["recurrent"] = "recurrent"
    weights: tuple[Weights, ...] = ()
    state: int = 0
    products: int = 2
    state_is_fp32: bool = False
    conv_state: int = 0

    def ops(self, work: Workload) -> Iterator[Op]:
        rows = [op for part in self.weights for op in part.ops(work)]
        yield from rows[:-1]
        yield Op(
            name="state_update",
            component="state_space",
            kind="scan",
            tokens=work.tokens,
            flops=2 * work.tokens * self.state * self.products,
            state_elements=work.batch_size * self.state,
            state_is_fp32=self.state_is_fp32,
            note=f"{figure(work.tokens)} tokens x {self.state:,} state elements x {self.products} products",
        )
        if self.conv_state:
            state = work.batch_size * self.conv_state
            yield Op(name="conv_state", component="state_space", kind="vector", state_elements=state)
        yield from rows[-1:]


class DerivedMlp(Part):
    """A dense feed-forward as it ran: its weights."""

    kind: Literal["mlp"] = "mlp"
    weights: tuple[Weights, ...] = ()

    def ops(self, work: Workload) -> Iterator[Op]:
        for part in self.weights:
            yield from part.ops(work)


class DerivedExperts(Part):
    """A mixture of experts as it ran: router, stacked matrices of which a token uses k of E, shared experts.

    read = expected distinct experts, E * (1 - (1 - k / E) ** tokens) under uniform routing
    """

    kind: Literal["experts"] = "experts"
    weights: tuple[Weights, ...] = ()

    def ops(self, work: Workload) -> Iterator[Op]:
        for part in self.weights:
            yield from part.ops(work)

    @property
    def mixture(self) -> HasExperts:
        """Itself."""
        return self

    @property
    def zero_experts(self) -> int:
        """0: a forward pass shows none."""
        return 0

    @property
    def num_experts(self) -> int:
        """E."""
        return max((part.num_experts for part in self.weights), default=1)

    @property
    def num_experts_per_tok(self) -> int:
        """k."""
        return max(
            (part.num_experts_per_tok for part in self.weights if part.num_experts == self.num_experts), default=1
        )

    @property
    def shared_intermediate_size(self) -> int:
        """Width of all shared experts together: what their last matrix takes in."""
        shared = [part for part in self.weights if part.component == "shared_experts" and part.rows > 1]
        return shared[-1].cols if shared else 0
