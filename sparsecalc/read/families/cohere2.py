"""Command R7B and Command A: Cohere's parallel layers, three windowed ones before each full one."""

from sparsecalc.read.attention import window_period
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import ignore_cohere_keys


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    without(config, "use_qk_norm")
    ignore_cohere_keys(config)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    pattern = every_nth_full(count, window_period(config))
    found = windows(config, count, config.optional_size("sliding_window"), pattern)
    return body(config, windowed_layers(mixer, dense, norms(hidden, 1), found), hidden=hidden)
