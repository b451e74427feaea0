"""Code World Model: Llama's layers, a full one at the start of each four, the others windowed."""

from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windowed_layers, windows, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    without(config, "attention_bias")
    mixer = attention(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    pattern = [SLIDING if index % 4 else FULL for index in range(count)]
    found = windows(config, count, config.optional_size("sliding_window"), pattern)
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
