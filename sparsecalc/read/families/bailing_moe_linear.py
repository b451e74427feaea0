"""Ring-linear 2.0, Ling and Ring 2.5 and 2.6: lightning attention, with full attention at the end of each group.

Not part of transformers: the architecture is that of inclusionAI's published model code, as vLLM 0.33.0 and SGLang
0.5.23 serve it (bailing_moe_linear.py; arXiv:2510.19338). The full layers are GQA (Ring-linear 2.0), or latent
attention where kv_lora_rank is given (2.5). The biases of the routers, buffers in transformers' classes, are not
counted.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    heads, _ = config.heads()
    dim = config.head_dim(hidden, heads)
    bias = config.flag("use_bias")
    qkv_bias, qk_norm = bias or config.flag("use_qkv_bias"), 2 * dim if config.flag("use_qk_norm") else 0
    linear = LightningAttention(
        hidden_size=hidden, num_attention_heads=heads, head_dim=dim, qkv_bias=qkv_bias, o_bias=bias, qk_norm=qk_norm
    )
    full: Gqa | Mla = attention(config, hidden, qkv_bias=qkv_bias, o_bias=bias, qk_norm=qk_norm)
    if config.has("kv_lora_rank"):
        full = latent_attention(config, hidden)
    group = config.size("layer_group_size", default=1)
    mixers = [linear if (index + 1) % group else full for index in range(count)]
    config.ignore("group_norm_size", "linear_backend", "linear_rope", "linear_silu", "use_linear_silu", "linear_mode")
    config.ignore("max_window_layers", "norm_head", "norm_softmax", "moe_router_enable_expert_bias", "use_rmsnorm")
    config.ignore("num_key_value_heads", "rotary_type", "using_split_qkv_in_self_attention")
    note_mtp(config)
    return dense_or_moe_body(config, hidden, mixers, _experts(config, hidden), leading_dense(config, count))


def _experts(config: Fields, hidden: int) -> Moe:
    """Routed experts and num_shared_experts shared ones, of a width of their own where one is given."""
    width = config.size("moe_intermediate_size", required=True)
    shared = config.optional_size("num_shared_experts", zero=True) or 0
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=shared * (config.optional_size("moe_shared_expert_intermediate_size") or width),
    )
