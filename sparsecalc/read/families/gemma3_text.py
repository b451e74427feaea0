"""Gemma 3: Gemma 2 with norms over queries and keys, and one full layer after each five windowed ones."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.gemma2 import alternating_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return alternating_body(config, window_period(config), norms_per_layer=4, qk_norm=True)


def window_period(config: Fields) -> int:
    """sliding_window_pattern, an older key that layer_types overrides."""
    if config.has("layer_types"):
        config.ignore("sliding_window_pattern", "_sliding_window_pattern")
        return 1
    return config.size("sliding_window_pattern")
