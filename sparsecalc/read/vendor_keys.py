"""What configs say beside the architecture: prediction layers, and keys of one vendor's own code."""

from sparsecalc.read.build import fixed
from sparsecalc.read.fields import Fields


def note_mtp(config: Fields, key: str = "num_nextn_predict_layers", *, as_deepseek: bool = True) -> None:
    """Multi-token-prediction layers are in checkpoints but not in the text decoder: say so.

    Built `as_deepseek`, each is a decoder layer, a projection 2 H -> H and three norms (arXiv:2412.19437, section 2.2);
    else their number of parameters is not known.
    """
    layers = config.optional_size(key, default=None, zero=True)
    if layers and as_deepseek:
        config.mtp_layers = layers
    elif layers:
        config.note("mtp-layers", f"{layers} multi-token-prediction layer(s) ({key}) are not counted; size unknown")


def mtp_text(layers: int, size: int) -> str:
    """What is left out, with its size."""
    text = f"{layers} multi-token-prediction layer(s) of {size:,} parameters are not counted"
    return f"{text}; a checkpoint may add copies of the embedding and the LM head"


def ignore_cohere_keys(config: Fields) -> None:
    """Keys of Cohere's own code that repeat what the architecture always is."""
    config.ignore("_sliding_window_pattern")
    config.ignore("layer_switch", "order_of_interleaved_layers", "use_embedding_sharing", "use_gated_activation")
    config.ignore("use_parallel_block", "use_parallel_embedding")


def ignore_tencent_keys(config: Fields) -> None:
    """Keys of Tencent's configs that change no cost."""
    config.ignore(*(key for key in config.config if key.startswith(("vit_", "anyres_"))))
    config.ignore("class_num", "cla_share_factor", "dense_list", "enable_attention_fp32_softmax", "enable_lm_head_fp32")
    config.ignore("im_newline_id", "mask_init_id", "norm_type", "num_media_embeds", "org_vocab_size", "pad_id")
    config.ignore("pool_type", "position_embedding_xdrope", "group_limited_greedy", "moe_drop_tokens", "skip_cls_token")
    config.ignore("moe_random_routing_dropped_token", "capacity_factor", "use_rotary_pos_emb")
    config.ignore("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")  # of use_mla


def note_qwen_prediction(config: Fields) -> None:
    """Keys that all of Qwen3.5 share: multi-token prediction, and what transformers does not use."""
    note_mtp(config, "mtp_num_hidden_layers")
    fixed(config, mlp_only_layers=[])
    config.ignore("mtp_use_dedicated_embeddings", "output_gate_type")
