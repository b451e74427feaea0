"""GPT-NeoX, Pythia, Dolly 2, StableLM Alpha: two LayerNorms with bias per layer, a plain MLP with biases."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    config.ignore("use_parallel_residual", "attention_dropout_prob")
    fixed(config, num_key_value_heads=heads)
    bias = config.flag("attention_bias")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        qkv_bias=bias,
        o_bias=bias,
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=True, gated=False),),
        norms=norms(hidden, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
