"""Qwen1.5-MoE-A2.7B and Qwen2-57B-A14B: routed experts beside one shared expert behind a gate of its own."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, norms, windows, without_windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import qwen_feed_forwards


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("qkv_bias"))
    layers = [
        Layer(mixers=(mixer.but(sliding_window=window),), feed_forwards=(feed_forward,), norms=norms(hidden))
        for window, feed_forward in zip(_windows(config, count), qwen_feed_forwards(config, hidden, count), strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _windows(config: Fields, count: int) -> list[int | None]:
    """Where use_sliding_window is set: every other layer below max_window_layers, or as layer_types says."""
    if not config.flag("use_sliding_window"):
        config.ignore("sliding_window", "max_window_layers")
        without_windows(config, count)
        return [None] * count
    below = count if config.has("layer_types") else config.size("max_window_layers", zero=True)
    config.ignore("max_window_layers")
    pattern = [SLIDING if index < below and index % 2 == 0 else FULL for index in range(count)]
    return windows(config, count, config.optional_size("sliding_window"), pattern)
