"""The recurrent layer of xLSTM: a matrix memory per head, written and read as in linear attention."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import MixerPart
from sparsecalc.model.recurrent import scan


class MatrixLstm(MixerPart):
    """mLSTM: queries and keys of d_qk, values of d_v, an output gate, input and forget gates per head.

        params = H * (2 d_qk + 2 d_v + 2 N) + 2 N + d_v * H + d_v (norm), biases on the maps where `use_bias`
        state  = N * (d_qk/N * d_v/N + d_qk/N + 1) per sequence; two products per element of the matrices

    N heads. Source: xLSTM 7B, arXiv:2503.13427, section 2; transformers' xlstm.
    """

    kind: Literal["matrix_lstm"] = "matrix_lstm"
    hidden_size: int
    num_heads: int
    qk_dim: int
    v_dim: int
    use_bias: bool = False
    state_is_fp32: bool = True

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_heads`."""
        return self.num_heads

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, heads, tokens, bias = self.hidden_size, self.num_heads, work.tokens, self.use_bias
        yield linear("q, k", "state_space", hidden, self.qk_dim, tokens, bias=bias, matrices=2)
        yield linear("v, ogate_preact", "state_space", hidden, self.v_dim, tokens, bias=bias, matrices=2)
        yield linear("igate_preact, fgate_preact", "state_space", hidden, heads, tokens, bias=True, matrices=2)
        keys, values = self.qk_dim // heads, self.v_dim // heads
        update = scan(work, heads * keys * values, 2, "arXiv:2503.13427", self.v_dim, fp32=self.state_is_fp32)
        yield replace(update, state_elements=work.batch_size * heads * (keys * values + keys + 1))
        yield vector("multihead_norm", "norm", self.v_dim * (2 if bias else 1), tokens)
        yield linear("out_proj", "state_space", self.v_dim, hidden, tokens, bias=bias)
