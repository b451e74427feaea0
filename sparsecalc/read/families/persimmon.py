"""Persimmon (and Fuyu's text part): a plain MLP, biases on all maps but the head, LayerNorms over queries and keys."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads = config.size("num_attention_heads", required=True)
    fixed(config, num_key_value_heads=heads)
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        qkv_bias=True,
        o_bias=True,
        qk_norm=4 * (hidden // heads) if config.flag("qk_layernorm") else 0,
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=True, gated=False),),
        norms=norms(hidden, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
