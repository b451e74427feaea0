"""Bamba: Mamba 2, attention in the layers that attn_layer_indices names, a gated MLP in all."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import mamba2_mixer


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    config.ignore("attn_rotary_emb", "z_loss_coefficient", "attn_layer_offset", "expert_layer_offset")
    config.ignore("expert_layer_period", "num_experts", "num_experts_per_tok")
    full = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    recurrent = mamba2_mixer(config, hidden, config.size("mamba_expand") * hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    places = set(config.integers("attn_layer_indices"))
    layers = [
        Layer(mixers=(full if index in places else recurrent,), feed_forwards=(dense,), norms=norms(hidden))
        for index in range(config.layers())
    ]
    return body(config, layers, hidden=hidden)
