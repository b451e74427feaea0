"""Language model of DeepSeek-OCR 2: DeepSeekMoE's layers, grouped-query attention over shared and routed experts."""

from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body, leading_dense, routed_and_shared_experts


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias, mlp_bias = config.flag("attention_bias"), config.flag("mlp_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    moe = routed_and_shared_experts(config, hidden).but(shared_bias=mlp_bias)
    config.ignore("topk_method")
    is_dense = dense_by_type(config, count, leading_dense(config, count))
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, is_dense, mlp_bias=mlp_bias)
