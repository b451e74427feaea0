"""Gemma 1 and CodeGemma: Llama's layers with a head_dim of its own and the input table as LM head."""

from sparsecalc.model.spec import Layer
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


def causal_only(config: Fields) -> None:
    """Refuse embedding models, which run these layers as an encoder ("vision" concerns image tokens alone)."""
    if config.raw("use_bidirectional_attention") in (True, "all"):
        config.refuse("use_bidirectional_attention is on: an encoder, not a text decoder", "Only decoders are modelled")
