"""GLM-4.7-Flash: DeepSeek-V3's layers; the first layer is dense unless mlp_layer_types says otherwise."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("first_k_dense_replace")
    mixer = latent_attention(config, hidden)
    return deepseek_body(config, hidden, mixer, deepseek_moe(config, hidden), dense_layers=1)
