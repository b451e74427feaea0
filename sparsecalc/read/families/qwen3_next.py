"""Qwen3-Next-80B-A3B: three gated delta nets to each gated attention; experts with a gated shared one."""

from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import qwen_feed_forwards
from sparsecalc.read.recurrent import hybrid_body

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    return hybrid_body(config, hidden, qwen_feed_forwards(config, hidden, count))
