"""Linear attention with gates of low rank: GLA and RWKV-7.

States are counted as in `recurrent`: matrix products only.
"""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import MixerPart
from sparsecalc.model.recurrent import causal_conv, scan


class GatedLinearAttention(MixerPart):
    """GLA: N heads with a state of dk x dv each, which decays by a gate per key channel, made by a map of low rank.

        params = H*N*dk (q) + H*K*dk (k) + H*K*dv (v) + H*N*dv (output gate) + H*r + r*K*dk + K*dk (decay) + dv + N*dv*H

    K key-value heads; state N * dk * dv per sequence, two products each. Source: arXiv:2312.06635; fla, layers/gla.py.
    """

    kind: Literal["gla"] = "gla"
    hidden_size: int
    num_heads: int
    num_key_value_heads: int
    key_head_dim: int
    value_head_dim: int
    gate_low_rank_dim: int
    output_gate: bool = True
    conv_kernel: int = 0
    """Taps of the short convolutions on queries, keys and values; 0: none."""
    conv_bias: bool = False

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_heads`."""
        return self.num_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        queries, mixed = self.num_heads * self.key_head_dim, self.num_heads * self.value_head_dim
        keys, values = (self.num_key_value_heads * dim for dim in (self.key_head_dim, self.value_head_dim))
        yield linear("q_proj", "state_space", hidden, queries, tokens)
        yield linear("k_proj", "state_space", hidden, keys, tokens)
        yield linear("v_proj", "state_space", hidden, values, tokens)
        if self.output_gate:
            yield linear("g_proj", "state_space", hidden, mixed, tokens)
        if self.conv_kernel:
            yield causal_conv(queries + keys + values, self.conv_kernel, self.conv_bias, work)
        yield linear("gk_proj down", "state_space", hidden, self.gate_low_rank_dim, tokens)
        yield linear("gk_proj up", "state_space", self.gate_low_rank_dim, keys, tokens, bias=True)
        yield scan(work, queries * self.value_head_dim, 2, "arXiv:2312.06635", mixed)
        yield vector("g_norm", "norm", self.value_head_dim, tokens)
        yield linear("o_proj", "state_space", mixed, hidden, tokens)


class Rwkv7TimeMix(MixerPart):
    """RWKV-7's time mixing: four maps H -> H, and low-rank maps for decay, in-context rate, value mix and gate.

        params = 4*H^2 + 2*H*(w + a + v + g) + 3H biases (2H in the first layer, which has no value mix)
                 + 6H token shifts + 3H key scales and bonus + 2H group norm

    State N heads of d x d, three products each (the delta rule: prediction, update, read-out), and two rows for the
    shifts of this and the channel mixing. Source: arXiv:2503.14456; fla, layers/rwkv7.py.
    """

    kind: Literal["rwkv7"] = "rwkv7"
    hidden_size: int
    head_dim: int
    decay_low_rank_dim: int
    a_low_rank_dim: int
    v_low_rank_dim: int
    """0: the first layer, whose values the others mix in."""
    gate_low_rank_dim: int

    @property
    def tensor_parallel_heads(self) -> int:
        """Heads of head_dim channels."""
        return self.hidden_size // self.head_dim

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, tokens = self.hidden_size, work.tokens
        yield linear("r, k and v_proj", "state_space", hidden, hidden, tokens, matrices=3)
        ranks = {"w": self.decay_low_rank_dim, "a": self.a_low_rank_dim, "v": self.v_low_rank_dim}
        for name, rank in ranks.items():
            if rank:
                yield linear(f"{name}_lora down", "state_space", hidden, rank, tokens)
                yield linear(f"{name}_lora up", "state_space", rank, hidden, tokens, bias=True)
        yield linear("g_lora down", "state_space", hidden, self.gate_low_rank_dim, tokens)
        yield linear("g_lora up", "state_space", self.gate_low_rank_dim, hidden, tokens)
        yield vector("x_r, x_w, x_k, x_v, x_a, x_g", "state_space", 6 * hidden, tokens)
        yield vector("k_k, k_a, r_k", "state_space", 3 * hidden, tokens)
        yield scan(work, hidden * self.head_dim, 3, "arXiv:2503.14456", hidden)
        rows = work.batch_size * 2 * hidden
        yield Op(name="token shifts", component="state_space", kind="vector", state_elements=rows)
        yield vector("g_norm", "norm", 2 * hidden, tokens)
        yield linear("o_proj", "state_space", hidden, hidden, tokens)
