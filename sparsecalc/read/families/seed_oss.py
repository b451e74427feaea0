"""Seed-OSS 36B: Llama's layers with separate switches for the biases of q, k, v, of the output and of the MLP."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("residual_dropout")
    bias, out_bias = config.flag("attention_bias"), config.flag("attention_out_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=out_bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
