"""EXAONE 4.0: q/k norms, norms after attention and MLP only, windowed layers with a full one after each three."""

from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import FULL, Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = window_pattern(config, config.layers())
    return body(config, windowed_layers(normed_attention(config, hidden), dense, norms(hidden), found), hidden=hidden)


def normed_attention(config: Fields, hidden: int) -> Gqa:
    """Attention without biases, with norms over the heads of queries and keys."""
    mixer = attention(config, hidden)
    return mixer.but(qk_norm=2 * mixer.head_dim)


def window_pattern(config: Fields, count: int) -> list[int | None]:
    """layer_types, or a full layer at the end of each sliding_window_pattern: a number, or letters such as LLLG."""
    window = config.optional_size("sliding_window")
    pattern = config.raw("sliding_window_pattern")
    if config.has("layer_types") or window is None:
        return windows(config, count, window, [FULL] * count)
    if not isinstance(pattern, str):
        return windows(config, count, window, every_nth_full(count, config.size("sliding_window_pattern")))
    if not pattern or set(pattern) - set("LG"):
        config.refuse("sliding_window_pattern holds other letters than L and G")
    return [window if pattern[index % len(pattern)] == "L" else None for index in range(count)]
