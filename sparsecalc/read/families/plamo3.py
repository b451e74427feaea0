"""PLaMo 3 (remote code; vLLM's Plamo3ForCausalLM): norms before and after each part and over the heads, some windows.

Not in transformers: formula; no published config was at hand. A full layer ends each sliding_window_pattern, as far as
layer_types does not say otherwise.
"""

from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden)
    config.ignore("rope_local_theta", "interleaved_sliding_window", "window_size")
    found = _windows(config, count)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = windowed_layers(mixer.but(qk_norm=2 * mixer.head_dim), dense, norms(hidden, 4), found)
    return body(config, layers, hidden=hidden)


def _windows(config: Fields, count: int) -> list[int | None]:
    """The window of each layer: a list of them, or one size for the windowed layers."""
    given = config.raw("interleaved_sliding_window", config.raw("sliding_window"))
    if isinstance(given, list):
        if len(given) != count or not all(each is None or (type(each) is int and each > 0) for each in given):
            config.refuse(f"the list of windows does not hold one size or null for each of the {count} layers")
        config.ignore("layer_types", "sliding_window_pattern")
        return list(given)
    size, period = config.optional_size("window_size") or config.optional_size("sliding_window"), 1
    if not config.has("layer_types"):
        period = config.size("sliding_window_pattern")
    config.ignore("sliding_window_pattern", "sliding_window")
    return windows(config, count, size, every_nth_full(count, period if size else 1))
