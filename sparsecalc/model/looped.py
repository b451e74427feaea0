"""Attention of a looped model's later passes, which looks at the first pass's cache too."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.part import SoftmaxAttention


class LoopedAttention(SoftmaxAttention):
    """IQuest-Coder's second pass through a layer: attention over the first pass's keys, and over a window of its own.

        o = g * attention(q, K, V of the first pass) + (1 - g) * attention(q, k, v of this pass, loop_window_size)

    g is a gate per head, made from that head's query, which the layer holds beside this; the projections are those of
    the first pass. flops = 2 * (all pairs + pairs of the window) * N * 2h; the cache is of the window alone.
    Source: vLLM 0.33.0, model_executor/models/iquest_loopcoder.py.
    """

    kind: Literal["looped_attention"] = "looped_attention"
    hidden_size: int
    num_key_value_heads: int
    head_dim: int
    sliding_window: int

    @property
    def window(self) -> int | None:
        """`sliding_window`, of what this pass itself caches."""
        return self.sliding_window

    def ops(self, work: Workload) -> Iterator[Op]:
        own = Gqa(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
            sliding_window=self.sliding_window,
        )
        for op in own.ops(work):
            if op.kind == "attention":
                yield own.but(sliding_window=None, key_value="shared").scores(work)
            yield op
