"""DeepSeek-V2 and V2-Lite: latent attention (queries compressed or not), shared and routed experts, optional biases."""

from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense, routed_and_shared_experts


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("lm_head", "rm_head")
    bias = config.flag("mlp_bias")
    if not config.flag("use_mla", default=True):
        return without_latents(config, hidden, count)
    mixers = [latent_attention(config, hidden)] * count
    if bias and config.optional_size("n_shared_experts", zero=True) == 0:
        config.refuse("n_shared_experts is 0 beside mlp_bias", "transformers adds a bias of no expert: write null")
    moe = routed_and_shared_experts(config, hidden).but(shared_bias=bias)
    return dense_or_moe_body(config, hidden, mixers, moe, leading_dense(config, count), mlp_bias=bias)


def without_latents(config: Fields, hidden: int, count: int) -> Body:
    """DeepSeek-VL2-Tiny and DeepSeek-OCR (use_mla: false): DeepSeek-V2's experts under multi-head attention."""
    config.ignore("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "head_dim")
    config.note("by-formula", "use_mla is false: multi-head attention of hidden_size; transformers has no such class")
    heads, kv_heads = config.heads()
    given = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": hidden // heads}
    mixer, bias = attention(config, hidden, **given), config.flag("mlp_bias")
    moe = routed_and_shared_experts(config, hidden).but(shared_bias=bias)
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, leading_dense(config, count), mlp_bias=bias)
