"""Hunyuan 3 (Hy3): q/k norms, a dense first layer, experts beside shared ones in the others."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, attention, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias, mlp_bias = config.flag("attention_bias"), config.flag("mlp_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    width = config.size("moe_intermediate_size", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=config.size("num_shared_experts") * width,
        shared_bias=mlp_bias,
    )
    note_mtp(config)
    if not config.has("mlp_layer_types"):
        fixed(config, first_k_dense_replace=1)
    fixed(config, qk_norm=True, expert_hidden_dim=width, moe_router_enable_expert_bias=True)
    config.ignore("first_k_dense_replace", "enable_attention_fp32_softmax", "enable_lm_head_fp32", "use_grouped_mm")
    config.ignore("enable_moe_fp32_combine", "route_norm", "router_scaling_factor")
    is_dense = dense_by_type(config, count, [index == 0 for index in range(count)])
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, is_dense, mlp_bias=mlp_bias)
