"""SmolLM3: Llama's layers; where use_sliding_window is set, the layers without rotary positions are windowed."""

from sparsecalc.read.build import (
    FULL,
    SLIDING,
    Body,
    attention,
    body,
    mlp,
    norms,
    windowed_layers,
    windows,
    without_windows,
)
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    window = config.optional_size("sliding_window")
    if not config.flag("use_sliding_window"):
        without_windows(config, count)
    use = config.flag("use_sliding_window") and window is not None
    period = config.size("no_rope_layer_interval", default=config.defaults["no_rope_layer_interval"])
    rotary = config.integers("no_rope_layers") or [int((index + 1) % period != 0) for index in range(count)]
    if len(rotary) < count:
        config.refuse(f"no_rope_layers has {len(rotary)} entries for {count} layers")
    pattern = [SLIDING if use and not each else FULL for each in rotary[:count]]
    config.ignore("max_window_layers")
    found = windows(config, count, window, pattern)
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
