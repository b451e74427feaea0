"""Command R, R+ and Aya 23: attention and MLP side by side behind one norm, which has no bias."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    if config.flag("use_qk_norm"):
        heads = mixer.num_attention_heads + mixer.num_key_value_heads
        mixer = mixer.but(qk_norm=heads * mixer.head_dim)
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, 1),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
