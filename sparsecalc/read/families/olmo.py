"""OLMo 1: Llama's layers with norms that have no parameters."""

from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, gain=False),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, final=(Norm(size=hidden, gain=False),))
