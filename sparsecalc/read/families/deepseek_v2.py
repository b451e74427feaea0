"""DeepSeek-V2 and V2-Lite: latent attention (queries compressed or not), shared and routed experts."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("mlp_bias")
    return deepseek_body(config, hidden, latent_attention(config, hidden), deepseek_moe(config, hidden), mlp_bias=bias)
