"""GLM-4.5: grouped-query attention (q/k norms where use_qk_norm), leading dense layers, shared and routed experts."""

from sparsecalc.read.build import Body, attention
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    if config.flag("use_qk_norm"):
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    return deepseek_body(config, hidden, mixer, deepseek_moe(config, hidden))
