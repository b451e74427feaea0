"""Phi-3, Phi-3.5, Phi-4 and their mini models: Llama's layers with an optional window on all of them, no biases."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "attention_bias", "mlp_bias", "lm_head_bias")
    config.ignore("full_attn_mod", "interpolate_factor")
    layer = Layer(
        mixers=(attention(config, hidden, sliding_window=config.optional_size("sliding_window")),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
