"""Granite with sliding windows: Llama's layers with an attention sink per head; by default each fourth is full."""

from sparsecalc.read.attention import first_of_four_full, with_sinks
from sparsecalc.read.build import Body, body, mlp, norms, windowed_layers
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    layers = windowed_layers(with_sinks(config, hidden), dense, norms(hidden), first_of_four_full(config))
    return body(config, layers, hidden=hidden)
