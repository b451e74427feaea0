"""DeepSeekMoE 16B (v1, remote code): multi-head attention, a dense first layer, shared and routed experts.

Not in transformers; its total equals the published one.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import routed_and_shared_experts


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    if not config.has("n_routed_experts"):
        config.ignore("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "n_shared_experts")
        layer = Layer(mixers=(mixer,), feed_forwards=(dense,), norms=norms(hidden))
        return body(config, [layer] * config.layers(), hidden=hidden)
    moe = routed_and_shared_experts(config, hidden)
    first = config.optional_size("first_k_dense_replace", zero=True) or 0
    every = config.size("moe_layer_freq", default=1)
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(moe if index >= first and index % every == 0 else dense,),
            norms=norms(hidden),
        )
        for index in range(config.layers())
    ]
    return body(config, layers, hidden=hidden)
