"""Baichuan 1 and 2: Llama's layers with q, k and v in one matrix, as many key-value heads as query heads, no biases.

Not part of transformers: the architecture is that of the published model code.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    without(config, "attention_bias", "mlp_bias")
    config.ignore("z_loss_weight")
    dim = config.head_dim(hidden, heads)
    layer = Layer(
        mixers=(attention(config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
