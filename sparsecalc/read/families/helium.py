"""Helium 1: Llama's layers whose output projection is square and never has a bias."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    if mixer.num_attention_heads * mixer.head_dim != hidden:
        config.refuse("num_attention_heads * head_dim is not hidden_size", "Helium's output projection needs it")
    width = config.size("intermediate_size", required=True)
    layer = Layer(
        mixers=(mixer,), feed_forwards=(mlp(hidden, width, bias=config.flag("mlp_bias")),), norms=norms(hidden)
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
