"""Mixtral 8x7B and 8x22B: every MLP is a mixture of num_local_experts experts."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden, sliding_window=config.optional_size("sliding_window")),),
        feed_forwards=(local_experts(config, hidden),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def local_experts(config: Fields, hidden: int) -> Moe:
    """num_local_experts experts of intermediate_size."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
