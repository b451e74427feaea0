"""Granite 3.x MoE: Mixtral's layers, experts in all of them, optional attention biases; shared experts where given."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "mlp_bias")
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(granite_moe(config, hidden, 0),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def granite_moe(config: Fields, hidden: int, shared: int) -> Moe:
    """num_local_experts experts of intermediate_size, and a shared MLP of width `shared`."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
        shared_intermediate_size=shared,
    )
