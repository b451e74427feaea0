"""Qwen1.5, Qwen2 and Qwen2.5: Llama's layers with biases on q, k and v."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, upper_layers_sliding
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    width = config.size("intermediate_size", required=True)
    plain = attention(config, hidden, qkv_bias=True)
    layers = [
        Layer(
            mixers=(plain.but(sliding_window=window),),
            feed_forwards=(mlp(hidden, width),),
            norms=norms(hidden),
        )
        for window in upper_layers_sliding(config, config.layers())
    ]
    return body(config, layers, hidden=hidden)
