"""Flint: attention with q/k norms and sinks, windows between full layers, two dense layers, then experts beside a
shared one."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe

DENSE = (0, 1)
"""mlp_only_layers where the config has none."""


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, sinks=True)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    moe = gated_shared_moe(config, hidden).but(shared_gate=False)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    only = set(config.integers("mlp_only_layers") if config.has("mlp_only_layers") else DENSE)
    config.ignore("mlp_only_layers")
    step = config.size("decoder_sparse_step")
    default = [FULL if index < 2 or index % 4 == 1 or index == count - 1 else SLIDING for index in range(count)]
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense if index in only or (index + 1) % step else moe,),
            norms=norms(hidden),
        )
        for index, window in enumerate(windows(config, count, config.optional_size("sliding_window"), default))
    ]
    return body(config, layers, hidden=hidden)
