"""Qwen3 (0.6B to 32B): Qwen2's layers with norms over the heads of queries and keys, and biases only where asked."""

from sparsecalc.read.build import Body, attention, body, mlp, norms, upper_layers_sliding, windowed_layers
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = upper_layers_sliding(config, config.layers())
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
