"""Granite 3.x MoE: Mixtral's layers, experts in all of them, optional attention biases; shared experts where given."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "mlp_bias")
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(local_experts(config, hidden),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
