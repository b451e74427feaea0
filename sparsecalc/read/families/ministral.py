"""Ministral 8B: Mistral's layers, windowed or full as layer_types says; all windowed where it says nothing."""

from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    mixer = attention(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    window = config.optional_size("sliding_window")
    found = windows(config, count, window, [SLIDING if window else FULL] * count)
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
