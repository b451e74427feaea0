"""StarCoder2: a plain MLP, LayerNorms with bias, biases on all maps, a window on all layers."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("use_bias")
    window = config.optional_size("sliding_window")
    config.ignore("attention_softmax_in_fp32", "mlp_type", "norm_epsilon", "norm_type", "residual_dropout")
    config.ignore("scale_attention_softmax_in_fp32")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias, sliding_window=window),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=bias, gated=False),),
        norms=norms(hidden, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
