"""LFM3: short convolutions, windowed and full attention by turns, attention with a gate per head, sandwich norms."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.recurrent import ShortConv
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import CONV


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    gate = "per_head" if config.flag("use_attention_gate") else "none"
    full = attention(config, hidden, qkv_bias=bias, o_bias=bias, output_gate=gate)
    full = full.but(qk_norm=2 * full.head_dim)
    conv = ShortConv(hidden_size=hidden, conv_kernel=config.size("conv_L_cache"), conv_bias=config.flag("conv_bias"))
    window = config.optional_size("sliding_window")
    mixers: dict[str, Gqa | ShortConv] = {FULL: full, SLIDING: full.but(sliding_window=window), CONV: conv}
    kinds = config.per_layer("layer_types", count, tuple(mixers)) or [_default(index) for index in range(count)]
    if SLIDING in kinds and window is None:
        config.refuse("layer_types has sliding_attention, but sliding_window is missing")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    all_norms = norms(hidden, 4 if config.flag("use_sandwich_norm") else 2)
    layers = [Layer(mixers=(mixers[kind],), feed_forwards=(dense,), norms=all_norms) for kind in kinds]
    return body(config, layers, hidden=hidden)


def _default(index: int) -> str:
    """The kind of a layer where the config has no layer_types: of four, the third is full, the first windowed."""
    if index % 4 == 2:
        return FULL
    return SLIDING if index % 4 == 0 and index else CONV
