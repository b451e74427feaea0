"""Mixers with a state of constant size: Mamba 1 and 2, gated delta nets, linear attention, short convolutions, RWKV.

State updates are counted in their recurrent form, matrix products only: 2 FLOPs per multiply-accumulate of the outer
product that enters the state, of the read-out, and (delta rule) of the prediction that is subtracted. Decay factors,
gates and activations are elementwise and not counted, as for every other op.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sparsecalc.core.arrays import figure
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import MixerPart, Part


def causal_conv(channels: int, kernel: int, bias: bool, work: Workload, state_tokens: int | None = None) -> Op:
    """Depthwise causal convolution: channels * kernel (+ channels) elements, 2 * tokens * channels * kernel FLOPs."""
    return Op(
        name="conv1d",
        component="state_space",
        kind="conv",
        rows=channels,
        cols=kernel,
        matrices=1,
        vectors=channels if bias else 0,
        tokens=work.tokens,
        flops=2 * work.tokens * channels * kernel,
        state_elements=work.batch_size * channels * (kernel if state_tokens is None else state_tokens),
        activation_elements=2 * work.tokens * channels,
        scratch_elements=work.tokens * channels,
    )


def scan(work: Workload, state: int, products: int, source: str, width: int, *, fp32: bool = False) -> Op:
    """`products` multiply-accumulates per state element and token; `state` elements are held per sequence."""
    return Op(
        name="state_update",
        component="state_space",
        kind="scan",
        tokens=work.tokens,
        flops=2 * work.tokens * state * products,
        state_elements=work.batch_size * state,
        state_is_fp32=fp32,
        activation_elements=2 * work.tokens * width,
        scratch_elements=work.tokens * width,
        note=f"{figure(work.tokens)} tokens x {state:,} state elements x {products} products",
        source=source,
    )


class Mamba(MixerPart):
    """Selective state space (Mamba-1). d = intermediate_size, n = state_size, r = time_step_rank.

    params = H*2d + d*(r + 2n) + r*d + d + d*n + d + d*H + conv; state d*n per sequence. Source: arXiv:2312.00752.
    """

    kind: Literal["mamba"] = "mamba"
    hidden_size: int
    intermediate_size: int
    state_size: int
    conv_kernel: int
    time_step_rank: int
    use_conv_bias: bool = True
    use_bias: bool = False
    dt_bc_norm: bool = False
    """Jamba: RMSNorm with a gain on dt, B and C."""
    out_proj: bool = True
    """False where another mixer of the layer has the map back to H for both (Hymba)."""

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, inner, n, r, tokens = (
            self.hidden_size,
            self.intermediate_size,
            self.state_size,
            self.time_step_rank,
            work.tokens,
        )
        yield linear("in_proj", "state_space", hidden, 2 * inner, tokens, bias=self.use_bias)
        yield causal_conv(inner, self.conv_kernel, self.use_conv_bias, work)
        yield linear("x_proj", "state_space", inner, r + 2 * n, tokens)
        yield linear("dt_proj", "state_space", r, inner, tokens, bias=True, role="state_update")
        yield vector("A_log, D", "state_space", inner * n + inner, tokens)
        if self.dt_bc_norm:
            yield vector("dt, b and c layernorm", "norm", r + 2 * n, tokens)
        yield scan(work, inner * n, 2, "arXiv:2312.00752", inner)
        if self.out_proj:
            yield linear("out_proj", "state_space", inner, hidden, tokens, bias=self.use_bias)


class Mamba2(MixerPart):
    """State space duality (Mamba-2). d = num_heads * head_dim, g groups of B and C, n = state_size.

    params = H*(2d + 2gn + heads) + (d + 2gn)*(conv + bias) + 3*heads + d + d*H; state d*n. Source: arXiv:2405.21060.
    """

    kind: Literal["mamba2"] = "mamba2"
    hidden_size: int
    num_heads: int
    head_dim: int
    state_size: int
    n_groups: int
    conv_kernel: int
    use_conv_bias: bool = True
    use_bias: bool = False
    out_bias: bool | None = None
    """Whether out_proj has a bias; None: as `use_bias`."""
    gated_norm: bool = True

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_heads`."""
        return self.num_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        inner, tokens = self.num_heads * self.head_dim, work.tokens
        conv_dim = inner + 2 * self.n_groups * self.state_size
        wide = inner + conv_dim + self.num_heads
        yield linear("in_proj", "state_space", self.hidden_size, wide, tokens, bias=self.use_bias)
        yield causal_conv(conv_dim, self.conv_kernel, self.use_conv_bias, work)
        yield vector("A_log, D, dt_bias", "state_space", 3 * self.num_heads, tokens)
        yield scan(work, inner * self.state_size, 2, "arXiv:2405.21060", inner)
        if self.gated_norm:
            yield vector("norm", "norm", inner, tokens)
        out_bias = self.use_bias if self.out_bias is None else self.out_bias
        yield linear("out_proj", "state_space", inner, self.hidden_size, tokens, bias=out_bias)


class GatedDeltaNet(MixerPart):
    """Gated delta rule with scalar decay (Qwen3-Next) or per-channel decay from a low-rank map (Kimi Delta Attention).

    Per value head a state of dk x dv; three products per element: prediction, update, read-out.
    Sources: arXiv:2412.06464; Kimi Linear, arXiv:2510.26692.
    """

    kind: Literal["gated_deltanet"] = "gated_deltanet"
    hidden_size: int
    num_key_heads: int
    num_value_heads: int
    key_head_dim: int
    value_head_dim: int
    conv_kernel: int
    channel_decay: bool = False
    """Kimi: decay per key channel and output gate, each through a bottleneck of head_dim."""
    dynamic_conv_width: int = 0
    """Jet-Nemotron: the convolution runs over the values alone, with taps that each token makes through this width."""
    full_rank_gate: bool = False
    """Kimi K3: the output gate of `channel_decay` is one map from the hidden state, without a bottleneck."""
    bottleneck: bool = True
    """False: the maps of decay and output gate are full ones (Ling 3.0)."""

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_value_heads`."""
        return self.num_value_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        keys, values = self.num_key_heads * self.key_head_dim, self.num_value_heads * self.value_head_dim
        hidden, heads, tokens = self.hidden_size, self.num_value_heads, work.tokens
        yield linear("in_proj_qkv", "state_space", hidden, 2 * keys + values, tokens)
        yield linear("b_proj", "state_space", hidden, heads, tokens)
        if self.channel_decay and not self.bottleneck:
            yield linear("f_proj", "state_space", hidden, keys, tokens)
            yield linear("g_proj", "state_space", hidden, values, tokens)
            yield vector("A_log, dt_bias", "state_space", heads + keys, tokens)
        elif self.channel_decay:
            rank = self.value_head_dim
            yield linear("f_a_proj", "state_space", hidden, rank, tokens)
            yield linear("f_b_proj", "state_space", rank, keys, tokens)
            if self.full_rank_gate:
                yield linear("g_proj", "state_space", hidden, values, tokens)
            else:
                yield linear("g_a_proj", "state_space", hidden, rank, tokens)
                yield linear("g_b_proj", "state_space", rank, values, tokens)
            yield vector("A_log, dt_bias", "state_space", heads + keys, tokens)
        else:
            yield linear("a_proj", "state_space", hidden, heads, tokens)
            yield linear("z_proj", "state_space", hidden, values, tokens)
            yield vector("A_log, dt_bias", "state_space", 2 * heads, tokens)
        if self.dynamic_conv_width:
            yield from self._dynamic_conv(values, work)
        else:
            yield causal_conv(2 * keys + values, self.conv_kernel, False, work)
        state = heads * self.key_head_dim * self.value_head_dim
        yield scan(work, state, 3, "arXiv:2412.06464", values)
        yield vector("o_norm", "norm", self.value_head_dim, tokens)
        yield linear("out_proj", "state_space", values, hidden, tokens)

    def _dynamic_conv(self, values: int, work: Workload) -> Iterator[Op]:
        """Two maps, H -> width -> values * kernel taps (with a bias each), and the convolution without stored taps."""
        width, taps = self.dynamic_conv_width, values * self.conv_kernel
        yield linear("dynamic_conv.w1", "state_space", self.hidden_size, width, work.tokens)
        yield linear("dynamic_conv.w2", "state_space", width, taps, work.tokens, bias=True)
        yield replace(
            causal_conv(values, self.conv_kernel, False, work, self.conv_kernel - 1), matrices=0, rows=0, cols=0
        )


class LightningAttention(MixerPart):
    """Linear attention with a fixed decay per head (MiniMax-01): q, k, v, an output gate and a norm; state N*h*h.

    Source: arXiv:2501.08313.
    """

    kind: Literal["lightning"] = "lightning"
    hidden_size: int
    num_attention_heads: int
    head_dim: int
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: int = 0
    """Elements of the norms over queries and keys (Ring-linear)."""
    output_gate: bool = True
    output_norm: bool = True

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_attention_heads`."""
        return self.num_attention_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        wide, tokens = self.num_attention_heads * self.head_dim, work.tokens
        yield linear("qkv_proj", "state_space", self.hidden_size, 3 * wide, tokens, bias=self.qkv_bias)
        if self.qk_norm:
            yield vector("qk_norm", "norm", self.qk_norm, tokens)
        if self.output_gate:
            yield linear("output_gate", "state_space", self.hidden_size, wide, tokens)
        yield scan(work, wide * self.head_dim, 2, "arXiv:2501.08313", wide)
        if self.output_norm:
            yield vector("norm", "norm", wide, tokens)
        yield linear("out_proj", "state_space", wide, self.hidden_size, tokens, bias=self.o_bias)


class ShortConv(MixerPart):
    """Gated short convolution (LFM2): H -> 3H, a depthwise convolution of conv_L_cache taps, H -> H."""

    kind: Literal["short_conv"] = "short_conv"
    hidden_size: int
    conv_kernel: int
    conv_bias: bool = False

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        yield linear("in_proj", "state_space", hidden, 3 * hidden, tokens, bias=self.conv_bias)
        yield causal_conv(hidden, self.conv_kernel, self.conv_bias, work)
        yield linear("out_proj", "state_space", hidden, hidden, tokens, bias=self.conv_bias)


class DepthwiseConv(Part):
    """A short causal convolution, one per channel, beside attention or an MLP: channels * kernel; state as much."""

    kind: Literal["depthwise_conv"] = "depthwise_conv"
    channels: int
    kernel: int

    def ops(self, work: Workload) -> Iterator[Op]:
        yield causal_conv(self.channels, self.kernel, False, work)


class RwkvTimeMix(MixerPart):
    """RWKV-4's attention: key, value, receptance and output maps, and per-channel decays; state of 4 rows per layer.

    The recurrence is elementwise, so only the four maps count as FLOPs. Source: arXiv:2305.13048.
    """

    kind: Literal["rwkv"] = "rwkv"
    hidden_size: int
    attention_hidden_size: int

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, inner, tokens = self.hidden_size, self.attention_hidden_size, work.tokens
        yield linear("key, value, receptance", "state_space", hidden, inner, tokens, matrices=3)
        yield vector("time_decay, time_first", "state_space", 2 * inner, tokens)
        yield vector("time_mix", "state_space", 3 * hidden, tokens)
        state = work.batch_size * (3 * inner + hidden)
        yield Op(name="state", component="state_space", kind="vector", state_elements=state, state_is_fp32=True)
        yield linear("output", "state_space", inner, hidden, tokens)


class RgLru(MixerPart):
    """Griffin's recurrent block: two maps H -> d, a convolution, the real-gated linear recurrence, d -> H.

    The two gates are block-diagonal, one block of (d / heads)^2 per head; the recurrence is elementwise, with a state
    of d elements in float32. Source: arXiv:2402.19427, section 2.4.
    """

    kind: Literal["rg_lru"] = "rg_lru"
    hidden_size: int
    lru_width: int
    num_heads: int
    conv_kernel: int

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_heads`."""
        return self.num_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, inner, tokens = self.hidden_size, self.lru_width, work.tokens
        block = inner // self.num_heads
        yield linear("linear_y, linear_x", "state_space", hidden, inner, tokens, bias=True, matrices=2)
        yield causal_conv(inner, self.conv_kernel, True, work, self.conv_kernel - 1)
        gates = linear("recurrence gates", "state_space", block, block, tokens, bias=True, matrices=2 * self.num_heads)
        yield replace(gates, role="state_update", activation_elements=3 * tokens * inner)
        yield vector("recurrent_param", "state_space", inner, tokens)
        state = work.batch_size * inner
        yield Op(name="state", component="state_space", kind="vector", state_elements=state, state_is_fp32=True)
        yield linear("linear_out", "state_space", inner, hidden, tokens, bias=True)
