"""Jais 2: Llama's attention, a plain MLP as Nemotron's, LayerNorms; biases on all maps."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    width = config.size("intermediate_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, width, bias=config.flag("mlp_bias"), gated=False),),
        norms=norms(hidden, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
