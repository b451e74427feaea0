"""LLaDA 2 (SGLang's LLaDA2MoeModelLM): a block-diffusion model with leading dense layers, shared and routed experts.

Not in transformers. LLaDA2.0-mini so counted has the 16.26 B parameters of its checkpoint; the routers' biases steer
the selection and are not counted.
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, attention, without
from sparsecalc.read.diffusion import note_blocks
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_bias", "use_sliding_window")
    config.ignore("norm_head", "norm_softmax", "moe_router_enable_expert_bias", "max_window_layers", "block_size")
    config.ignore("expert_capacity", "use_rmsnorm", "sliding_window")
    note_blocks(config)
    mixer = attention(config, hidden, qkv_bias=config.flag("use_qkv_bias"))
    if config.flag("use_qk_norm"):
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
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, leading_dense(config, count))
