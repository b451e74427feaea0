"""Mixtral 8x7B and 8x22B: every MLP is a mixture of num_local_experts experts."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden, sliding_window=config.optional_size("sliding_window")),),
        feed_forwards=(local_experts(config, hidden),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
