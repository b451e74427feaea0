"""Gemma 2: four norms per layer, every second layer windowed, input table as LM head."""

from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.families.gemma import causal_only
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    config.ignore("sliding_window_size")
    return alternating_body(config, 2, norms_per_layer=4)


def alternating_body(config: Fields, period: int, *, norms_per_layer: int, qk_norm: bool = False) -> Body:
    """Windowed layers with a full one at the end of each `period`, as far as layer_types does not say otherwise."""
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    count = config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    if qk_norm:
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, period))
    return body(config, windowed_layers(mixer, dense, norms(hidden, norms_per_layer), found), hidden=hidden)
