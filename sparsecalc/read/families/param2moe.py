"""Param-2 17B-A2.4B (vLLM's Param2MoEForCausalLM): leading dense layers, shared and routed experts, optional q/k norms.

Not in transformers. moe_shared_expert_intermediate_size is the width of all shared experts together. The routers'
score biases steer a selection and are not counted, as for the other families of this kind.
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("moe_router_enable_expert_bias", "norm_head", "use_rmsnorm", "max_window_layers")
    mixer = attention(config, hidden, qkv_bias=config.flag("use_qkv_bias"), o_bias=config.flag("use_bias"))
    if config.flag("use_qk_norm"):
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    width, shared = config.size("moe_intermediate_size", required=True), config.size("num_shared_experts", zero=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=(config.optional_size("moe_shared_expert_intermediate_size") or shared * width)
        if shared
        else 0,
    )
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, leading_dense(config, count))
