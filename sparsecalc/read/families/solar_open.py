"""Solar-Open-100B: GLM-4.5's layers with experts in all of them and no q/k norms."""

from sparsecalc.read.build import Body, attention, fixed
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, note_mtp
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    fixed(config, use_qk_norm=False, first_k_dense_replace=0)
    note_mtp(config)
    return deepseek_body(config, hidden, [mixer] * count, deepseek_moe(config, hidden), [False] * count)
