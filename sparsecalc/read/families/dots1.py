"""dots.llm1: q/k norms, leading dense layers, shared and routed experts."""

from sparsecalc.read.build import FULL, SLIDING, Body, attention, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    mixers = [mixer.but(sliding_window=window) for window in _windows(config, count)]
    note_mtp(config)
    return dense_or_moe_body(
        config, hidden, mixers, routed_and_shared_experts(config, hidden), leading_dense(config, count)
    )


def _windows(config: Fields, count: int) -> list[int | None]:
    """layer_types, or windows from layer max_window_layers on where sliding_window is set."""
    config.ignore("use_sliding_window")
    window = config.optional_size("sliding_window")
    first = config.optional_size("max_window_layers", zero=True) or 0
    if first >= count and not config.has("layer_types"):
        config.defaulted.pop("sliding_window", None)
        config.defaulted.pop("max_window_layers", None)
    return windows(config, count, window, [SLIDING if window and index >= first else FULL for index in range(count)])
