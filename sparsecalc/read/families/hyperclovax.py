"""HyperCLOVA X SEED Think: Llama's layers with norms after each part too, unless use_post_norm is off."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden, 4 if config.flag("use_post_norm") else 2),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
