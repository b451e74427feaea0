"""GLM-4.5 and 4.6: grouped-query attention, q/k norms where use_qk_norm, leading dense layers, a shared expert."""

from sparsecalc.read.build import Body, attention
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, leading_dense, note_mtp
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    mixer = mixer.but(qk_norm=2 * mixer.head_dim if config.flag("use_qk_norm") else 0)
    note_mtp(config)
    return deepseek_body(config, hidden, [mixer] * count, deepseek_moe(config, hidden), leading_dense(config, count))
