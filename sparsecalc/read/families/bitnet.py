"""BitNet b1.58: Llama's layers with one more norm before the output map of attention and one before that of the MLP."""

from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    without(config, "mlp_bias")
    width = config.size("intermediate_size", required=True)
    inner = (Norm(name="attn_sub_norm", size=hidden), Norm(name="ffn_sub_norm", size=width))
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, width),),
        norms=(*norms(hidden), *inner),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
