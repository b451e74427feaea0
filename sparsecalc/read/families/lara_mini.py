"""Lara Mini: gated delta nets, windowed and full attention by turns, experts beside a shared one."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe
from sparsecalc.read.recurrent import LINEAR, delta_net

PATTERN = (LINEAR, SLIDING, LINEAR, FULL, SLIDING)
"""layer_types where the config has none, over and over."""


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias, window = config.flag("attention_bias"), config.size("sliding_window")
    full = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    full = full.but(qk_norm=2 * full.head_dim)
    mixers: dict[str, Gqa | GatedDeltaNet] = {
        LINEAR: delta_net(config, hidden),
        SLIDING: full.but(sliding_window=window),
        FULL: full,
    }
    moe: Moe = gated_shared_moe(config, hidden).but(shared_gate=False)
    kinds = config.per_layer("layer_types", count, (LINEAR, SLIDING, FULL))
    kinds = kinds or [PATTERN[index % len(PATTERN)] for index in range(count)]
    layers = [Layer(mixers=(mixers[kind],), feed_forwards=(moe,), norms=norms(hidden)) for kind in kinds]
    return body(config, layers, hidden=hidden)
