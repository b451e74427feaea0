"""Inkling: relative attention with short convolutions, windowed in most layers; weighed shared experts."""

from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.relative_attention import RelativeAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type
from sparsecalc.read.vendor_keys import note_mtp

WINDOWED, WHOLE = "hybrid_sliding", "hybrid"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    local = set(config.integers("local_layer_ids")) if config.has("local_layer_ids") else None
    if local is None:
        local = {index for index in range(count) if (index + 1) % 6}
    default = [WINDOWED if index in local else WHOLE for index in range(count)]
    kinds = config.per_layer("layer_types", count, (WINDOWED, WHOLE)) or default
    full, windowed = _attention(config, hidden, ""), _attention(config, hidden, "swa_")
    _ignore(config)
    dense_width, width = _widths(config)
    moe, dense = _experts(config, hidden, width), mlp(hidden, dense_width)
    scale = Constants(name="global_scale", component="dense_ffn", elements=1)
    layers = []
    first = config.optional_size("dense_mlp_idx", default=None, zero=True) or 0
    is_dense = dense_by_type(config, count, [index < first for index in range(count)])
    for kind, plain in zip(kinds, is_dense, strict=True):
        feed_forward: DenseMlp | Moe = dense if plain else moe
        layers.append(
            Layer(
                mixers=(windowed if kind == WINDOWED else full,),
                feed_forwards=(feed_forward,),
                norms=norms(hidden),
                extras=(scale,) if plain else (),
            )
        )
    return body(config, layers, hidden=hidden, final=(Norm(name="embed_norm", size=hidden), Norm(size=hidden)))


def _attention(config: Fields, hidden: int, prefix: str) -> RelativeAttention:
    """The full layers' heads, or with `prefix` the windowed ones', whose biases end with the window."""
    heads, kv_heads = config.heads(f"{prefix}num_attention_heads", f"{prefix}num_key_value_heads")
    dim, window = config.size(f"{prefix}head_dim"), config.size("sliding_window_size")
    return RelativeAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=dim,
        qk_norm=2 * dim,
        sliding_window=window if prefix else None,
        d_rel=config.size("d_rel"),
        rel_extent=window if prefix else config.size("rel_extent"),
        conv_kernel=config.size("conv_kernel_size"),
    )


def _widths(config: Fields) -> tuple[int, int]:
    """The widths of dense MLPs and of experts; in checkpoints intermediate_size is the experts' beside another key."""
    plain = config.size("intermediate_size", required=True)
    if config.has("dense_intermediate_size"):
        config.ignore("moe_intermediate_size")
        return config.size("dense_intermediate_size"), plain
    return plain, config.size("moe_intermediate_size", required=True)


def _experts(config: Fields, hidden: int, width: int) -> Moe:
    """Routed experts, and shared ones that the router weighs beside them; one scale for all weights."""
    shared = config.size("n_shared_experts", zero=True)
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=shared * width,
        shared_router_outputs=shared,
        router_scales=1,
    )


def _ignore(config: Fields) -> None:
    """Keys of the checkpoint's own code that the architecture always has, and prediction layers."""
    config.ignore("log_scaling_n_floor", "log_scaling_alpha", "logits_mup_width_multiplier", "rms_norm_eps_moe_gate")
    config.ignore("route_scale", "shared_expert_sink", "chain_hidden_post_norm", "mtp_hidden_states_first")
    config.ignore("use_gate_bias", "norm_after_topk", "gate_activation", "inference_moe_w13_interleaved")
    config.ignore("mtp_local_layer_ids", "enable_lm_head_output_fp32", "shared_experts_size", "padded_vocab_size")
    fixed(config, use_sconv=True, use_embed_norm=True, use_global_scale=True, q_bias=False, o_bias=False)
    if (rows := config.optional_size("unpadded_vocab_size")) and rows != config.size("vocab_size"):
        config.note("padded-head", f"the checkpoint's LM head has {rows} rows; transformers' vocab_size of them count")
    note_mtp(config, "num_mtp_layers", as_deepseek=False)
