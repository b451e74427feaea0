"""HRM-Text: two stacks of Llama-like layers with gated attention that run in cycles, the low one L_cycles times before
each run of the high one; every run has a cache of its own. Source: transformers' hrm_text."""

from sparsecalc.model.basic_parts import Constants, Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    config.ignore("L_bp_cycles", "embedding_scale", "prefix_lm")
    heads = config.size("num_attention_heads", required=True)
    mixer = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=heads, qkv_bias=bias, o_bias=bias)
    gate = Projection(
        name="gate_proj", component="attention", in_features=hidden, out_features=heads * mixer.head_dim, bias=bias
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        extras=(gate,),
    )
    per_stack = config.optional_size("num_layers_per_stack") or config.layers()
    high, low = config.size("H_cycles"), config.size("L_cycles")
    config.ignore("num_hidden_layers")
    stack, again = [layer] * per_stack, [layer.but(reused=True)] * per_stack
    layers = [*stack, *(again * (low - 1)), *stack, *(again * (low + 1) * (high - 1))]
    return body(config, layers, hidden=hidden, final=(Constants(name="z_L_init", elements=hidden),))
