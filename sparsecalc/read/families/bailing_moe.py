"""Ling-lite and Ling-plus (BailingMoE, remote code): leading dense layers, shared and routed experts.

Not in transformers. Ling 2.0's configs name this type too, so that q/k norms are read here as well.
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, attention, without
from sparsecalc.read.families.deepseek_v3 import deepseek_body, leading_dense, note_mtp
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_bias", "multi_gate", "use_sliding_window")
    config.ignore("norm_head", "norm_softmax", "sliding_window", "max_window_layers", "use_rmsnorm")
    config.ignore("image_gate", "audio_gate", "moe_router_enable_expert_bias", "moe_router_enable_shared_expert")
    mixer = attention(config, hidden, qkv_bias=config.flag("use_qkv_bias"))
    mixer = mixer.but(qk_norm=2 * mixer.head_dim if config.flag("use_qk_norm") else 0)
    width = config.size("moe_intermediate_size", required=True)
    shared = config.optional_size("num_shared_experts", zero=True) or 0
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=shared * (config.optional_size("moe_shared_expert_intermediate_size") or width),
    )
    note_mtp(config)
    return deepseek_body(config, hidden, [mixer] * count, moe, leading_dense(config, count))
