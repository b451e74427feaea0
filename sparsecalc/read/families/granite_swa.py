"""Granite with sliding windows: Llama's layers with an attention sink per head; by default each fourth is full."""

from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    layers = windowed_layers(with_sinks(config, hidden), dense, norms(hidden), first_of_four_full(config))
    return body(config, layers, hidden=hidden)


def with_sinks(config: Fields, hidden: int) -> Gqa:
    """Attention with a sink per head and optional biases."""
    bias = config.flag("attention_bias")
    config.ignore("layer_rope_theta")
    return attention(config, hidden, qkv_bias=bias, o_bias=bias, sinks=True)


def first_of_four_full(config: Fields) -> list[int | None]:
    """The windows, by layer_types or the family's default: a full layer first, then three windowed ones."""
    count = config.layers()
    default = [SLIDING if index % 4 else FULL for index in range(count)]
    return windows(config, count, config.optional_size("sliding_window"), default)
