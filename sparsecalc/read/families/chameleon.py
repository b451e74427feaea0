"""Chameleon: Llama's layers with LayerNorms, a gain and a bias for each channel, over queries and keys.

transformers builds it only with its image tokenizer, so it is counted by formula; Chameleon 7B and 34B agree.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias", default=False)
    config.ignore("vq_config", "vocabulary_map", "swin_norm", "model_parallel_size")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    heads = mixer.num_attention_heads + mixer.num_key_value_heads
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias", default=False))
    layer = Layer(mixers=(mixer.but(qk_norm=2 * heads * mixer.head_dim),), feed_forwards=(dense,), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)
