"""dots.llm1: q/k norms, leading dense layers, shared and routed experts."""

from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import FULL, SLIDING, Body, attention, windows
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    return deepseek_body(config, hidden, _windowed(config, mixer, count), deepseek_moe(config, hidden))


def _windowed(config: Fields, mixer: Gqa, count: int) -> list[Gqa]:
    """Layers from max_window_layers on are windowed where sliding_window is set."""
    window = config.optional_size("sliding_window")
    first = config.optional_size("max_window_layers", zero=True) or 0
    config.defaulted.pop("sliding_window", None)
    config.defaulted.pop("max_window_layers", None)
    default = [SLIDING if window and index >= first else FULL for index in range(count)]
    return [mixer.but(sliding_window=found) for found in windows(config, count, window, default)]
