"""Ling-lite and Ling-plus (BailingMoE, remote code): leading dense layers, shared and routed experts.

Not in transformers. Ling 2.0's configs name this type too: its class has q/k norms unless use_qk_norm is off.
Ling-mini-2.0 so counted is the Hub's 16,255,643,392 less the 4,864 biases of its routers, which are buffers.
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, attention, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_bias", "multi_gate", "use_sliding_window")
    config.ignore("norm_head", "norm_softmax", "sliding_window", "max_window_layers", "use_rmsnorm")
    config.ignore("image_gate", "audio_gate", "moe_router_enable_expert_bias", "moe_router_enable_shared_expert")
    mixer = attention(config, hidden, qkv_bias=config.flag("use_qkv_bias"))
    if config.flag("use_qk_norm", default=_second_generation(config)):
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
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
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, leading_dense(config, count))


def _second_generation(config: Fields) -> bool:
    """Whether Ling 2.0's class reads this config."""
    named = " ".join(map(str, config.sequence("architectures") or ()))
    return "BailingMoeV2" in named or config.model_type == "bailing_moe_v2"
