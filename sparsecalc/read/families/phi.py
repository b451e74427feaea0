"""Phi-1, 1.5 and 2: attention and a plain MLP side by side behind one LayerNorm, biases everywhere."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = attention(config, hidden, qkv_bias=True, o_bias=True)
    if config.flag("qk_layernorm"):
        mixer = mixer.but(qk_norm=4 * mixer.head_dim)
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=True, gated=False),),
        norms=norms(hidden, 1, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True, head_bias=True)
