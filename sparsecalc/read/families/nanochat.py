"""nanochat: a plain squared-ReLU MLP and norms without parameters everywhere."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    without(config, "mlp_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), gated=False),),
        norms=norms(hidden, gain=False),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, final=norms(hidden, 1, gain=False))
