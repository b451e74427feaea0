"""InternLM2 and 2.5: Llama's layers, q, k and v in one matrix; `bias` is that of attention.

Not part of transformers: the architecture is that of the published model code; the 7B's total equals its checkpoint's.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("bias")
    config.ignore("rotary")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
