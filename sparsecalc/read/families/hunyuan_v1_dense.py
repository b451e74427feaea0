"""Hunyuan 0.5B to 7B: Llama's layers with norms over each query and key head."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, num_experts=1)
    mixer = hunyuan_attention(config, hidden)
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def hunyuan_attention(config: Fields, hidden: int) -> Gqa:
    """Attention with q/k norms; Tencent's configs carry keys of related models beside it."""
    without(config, "mlp_bias", "use_cla", "use_mla", "add_classification_head")
    ignore_extras(config)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    fixed(config, attention_head_dim=mixer.head_dim, use_qk_norm=True)
    return mixer.but(qk_norm=2 * mixer.head_dim)


def ignore_extras(config: Fields) -> None:
    """Keys of Tencent's configs that change no cost."""
    config.ignore(*(key for key in config.config if key.startswith(("vit_", "anyres_"))))
    config.ignore("class_num", "cla_share_factor", "dense_list", "enable_attention_fp32_softmax", "enable_lm_head_fp32")
    config.ignore("im_newline_id", "mask_init_id", "norm_type", "num_media_embeds", "org_vocab_size", "pad_id")
    config.ignore("pool_type", "position_embedding_xdrope", "group_limited_greedy", "moe_drop_tokens", "skip_cls_token")
    config.ignore("moe_random_routing_dropped_token", "capacity_factor", "use_rotary_pos_emb")
    config.ignore("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")  # of use_mla
