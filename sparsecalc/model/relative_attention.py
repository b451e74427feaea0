"""Inkling's attention: relative biases made from the hidden state, and short convolutions around it."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op, linear
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.recurrent import short_convolution


class RelativeAttention(Gqa):
    """GQA whose scores get a bias for each distance, and whose layer has four short convolutions.

        r = r_proj(x), N heads of `d_rel`;  bias = r @ proj, `d_rel` x `rel_extent`, one for each distance below it
        convolutions, without biases: over keys and values (K*h channels each), over what attention and what the
        feed-forward add to the residual stream (H channels each)

    Beside `Gqa`: params += H*N*d_rel + d_rel*rel_extent + conv_kernel * (2*K*h + 2*H);
    flops += 2 * tokens * N*d_rel * (H + rel_extent) and the convolutions'; state conv_kernel - 1 tokens of each
    convolution's channels. Source: transformers' inkling.
    """

    kind: Literal["relative"] = "relative"  # type: ignore[assignment]
    d_rel: int
    rel_extent: int
    conv_kernel: int

    def ops(self, work: Workload) -> Iterator[Op]:
        heads, width, tokens = self.num_attention_heads, self.d_rel, work.tokens
        yield from super().ops(work)
        yield linear("r_proj", "attention", self.hidden_size, heads * width, tokens, role="query_head")
        yield Op(
            name="rel_logits_proj",
            component="attention",
            kind="matmul",
            rows=self.rel_extent,
            cols=width,
            matrices=1,
            tokens=tokens * heads,
            flops=2 * tokens * heads * width * self.rel_extent,
            activation_elements=tokens * heads * (width + self.rel_extent),
            scratch_elements=tokens * heads * self.rel_extent,
            shards=1,
        )
        keys = self.num_key_value_heads * self.head_dim
        around = {"k_sconv": keys, "v_sconv": keys, "attn_sconv": self.hidden_size, "mlp_sconv": self.hidden_size}
        for name, channels in around.items():
            yield short_convolution(name, channels, self.conv_kernel, work)
