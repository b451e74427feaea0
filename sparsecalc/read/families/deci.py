"""DeciLM 6B and 7B (remote code): Llama's layers with a number of key-value heads for each.

Not in transformers: formula; no published config was at hand. Later models of this class are `nemotron-nas`.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import per_layer_sizes


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    heads = config.size("num_attention_heads", required=True)
    fixed(config, attention_bias=False)
    config.ignore("naive_attention_prefill", "naive_attention_decode_batched", "naive_attention_decode_single")
    config.ignore("num_key_value_heads")
    key = "num_key_value_heads_per_layer"
    each = per_layer_sizes(config, key if config.has(key) else "num_key_value_heads", count)
    if wrong := next((size for size in each if heads % size), None):
        config.refuse(f"num_attention_heads ({heads}) is not a multiple of the {wrong} key-value heads of a layer")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = [
        Layer(
            mixers=(attention(config, hidden, num_attention_heads=heads, num_key_value_heads=size),),
            feed_forwards=(dense,),
            norms=norms(hidden),
        )
        for size in each
    ]
    return body(config, layers, hidden=hidden)
