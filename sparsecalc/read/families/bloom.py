"""BLOOM: LayerNorms with bias, one of them on the input table, biases on all maps, an MLP of four times hidden_size."""

from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("n_head", required=True)
    config.ignore("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi")
    config.ignore("skip_bias_add", "skip_bias_add_qkv")
    fixed(config, n_inner=4 * hidden)
    dim = config.head_dim(hidden, heads)
    mixer = attention(
        config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim, qkv_bias=True, o_bias=True
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, 4 * hidden, bias=True, gated=False),),
        norms=norms(hidden, bias=True),
    )
    outer = tuple(Norm(name=name, size=hidden, bias=True) for name in ("word_embeddings_layernorm", "ln_f"))
    return body(config, [layer] * config.layers("n_layer"), hidden=hidden, final=outer)
