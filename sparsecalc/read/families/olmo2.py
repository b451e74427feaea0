"""OLMo 2: norms after attention and MLP, and over all queries and all keys of a token."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(wide_qk_norm_attention(config, hidden),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def wide_qk_norm_attention(config: Fields, hidden: int) -> Gqa:
    """GQA whose norms have a gain for each channel of each head."""
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    return mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
