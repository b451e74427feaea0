"""DeepSeek-V2 and V2-Lite: latent attention (queries compressed or not), shared and routed experts, optional biases."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention, leading_dense
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("mlp_bias")
    mixers = [latent_attention(config, hidden)] * count
    moe = deepseek_moe(config, hidden).but(shared_bias=bias)
    return deepseek_body(config, hidden, mixers, moe, leading_dense(config, count), mlp_bias=bias)
