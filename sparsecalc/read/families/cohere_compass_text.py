"""Language model of Cohere Compass: Command R7B's layers, full attention where layer_types does not say otherwise."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, mlp, norms, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    config.ignore("pooling", "sliding_window_pattern", "logit_scale")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = [
        Layer(mixers=(mixer.but(sliding_window=window),), feed_forwards=(dense,), norms=norms(hidden, 1))
        for window in windows(config, count, config.optional_size("sliding_window"), [FULL] * count)
    ]
    return body(config, layers, hidden=hidden)
