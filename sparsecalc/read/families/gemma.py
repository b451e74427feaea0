"""Gemma 1 and CodeGemma: Llama's layers with a head_dim of its own and the input table as LM head."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import causal_only
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    bias = config.flag("attention_bias")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
