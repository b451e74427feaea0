"""Llama 1, 2, 3.x, and the many models that share its architecture."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
