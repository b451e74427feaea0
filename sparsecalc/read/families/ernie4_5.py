"""ERNIE 4.5 dense: Llama's layers with one switch for all biases."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("use_bias")
    config.ignore("compression_ratio")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=bias),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
