"""Convolutions over queries and keys before attention (ZAYA's compressed convolutional attention)."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


class QueryKeyConv(Part):
    """A depthwise causal convolution over queries and keys, then one within each head; half of the values come late.

        params = C * t + C and C * h * u + C      C = (N + K) h channels, t and u the kernels
        flops  = 2 * T * C * t and 2 * T * C * h * u
        state  = C * (t + u - 2) past inputs, and the last token's half of the values, K h / 2

    Source: arXiv:2510.04476; transformers' zaya.
    """

    kind: Literal["query_key_conv"] = "query_key_conv"
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    depthwise_kernel: int
    grouped_kernel: int

    def ops(self, work: Workload) -> Iterator[Op]:
        dim, heads = self.head_dim, self.num_attention_heads + self.num_key_value_heads
        channels, tokens = heads * dim, work.tokens
        held = channels * (self.depthwise_kernel + self.grouped_kernel - 2) + self.num_key_value_heads * dim // 2
        for name, taps, state in (
            ("conv_qk_depthwise", self.depthwise_kernel, held),
            ("conv_qk_grouped", dim * self.grouped_kernel, 0),
        ):
            yield Op(
                name=name,
                component="attention",
                kind="conv",
                rows=channels,
                cols=taps,
                matrices=1,
                vectors=channels,
                tokens=tokens,
                flops=2 * tokens * channels * taps,
                state_elements=work.batch_size * state,
                activation_elements=2 * tokens * channels,
                scratch_elements=tokens * channels,
            )
