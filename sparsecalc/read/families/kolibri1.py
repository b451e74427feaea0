"""Kolibri: attention with q/k norms and windows, a full layer after each four, experts beside a shared one, and four
norms."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import normed_attention
from sparsecalc.read.build import Body, body, every_nth_full, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = normed_attention(config, hidden)
    moe = gated_shared_moe(config, hidden).but(shared_gate=False)
    config.ignore("routed_scaling_factor")
    layers = [
        Layer(mixers=(mixer.but(sliding_window=window),), feed_forwards=(moe,), norms=norms(hidden, 4))
        for window in windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, 5))
    ]
    return body(config, layers, hidden=hidden)
