"""Step 5: gated attention, windowed in most layers and sparse by regions in the others; experts with a shared one.

Not part of transformers: the architecture is that which vLLM 0.33.0 serves (models/step5). Released configs name it
step4. The biases of the routers, buffers in Step 3.5, are not counted; the total agrees with the published "600B".
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.region_sparse import RegionSparseAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import listed_layers
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps
from sparsecalc.read.vendor_keys import note_mtp

OF_SPARSE = (
    *("sparse_indexer_use_rope", "sparse_indexer_rope_dim", "sparse_indexer_num_k_heads", "num_provider_groups"),
    *("sparse_indexer_q_norm_type", "sparse_indexer_k_norm_type", "sparse_indexer_csa_z_norm_type", "index_tp_size"),
    *("sparse_indexer_softmax_variant", "sparse_indexer_ssmax_s_granularity", "compression_method", "attention_impl"),
)
"""Keys of sparse_config for which vLLM takes one value only, or which change no size."""


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    heads, kv_heads = config.heads(kv="num_attention_groups")
    gate = "per_head" if config.flag("use_head_wise_attn_gate") else "none"
    plain = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, output_gate=gate)
    plain = plain.but(qk_norm=2 * plain.head_dim)
    kinds = (config.sequence("layer_types") or [FULL] * count)[:count]
    if len(kinds) < count or set(map(str, kinds)) - {SLIDING, FULL}:
        config.refuse(f"layer_types needs {count} entries, {SLIDING} or {FULL}")
    mixers: dict[str, Gqa] = {FULL: _sparse(config, plain)}
    if SLIDING in kinds:
        mixers[SLIDING] = _windowed(config, plain)
    _ignore(config, plain)
    _prediction(config, hidden, mixers, count)
    layers = [
        Layer(mixers=(mixers[kind],), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind, feed_forward in zip(kinds, _feed_forwards(config, hidden, count), strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _prediction(config: Fields, hidden: int, mixers: dict[str, Gqa], count: int) -> None:
    """Layers for prediction: of the kinds behind the decoder's in layer_types, with a dense MLP (models/step5)."""
    steps = mtp_steps(config)
    kinds = (config.sequence("layer_types") or [])[count : count + steps]
    if not steps or len(kinds) < steps or set(map(str, kinds)) - set(mixers):
        note_mtp(config, as_deepseek=False)
        return
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    count_mtp(
        config,
        [[Layer(mixers=(mixers[kind],), feed_forwards=(dense,), norms=norms(hidden))] for kind in kinds],
        hidden,
    )


def _windowed(config: Fields, plain: Gqa) -> Gqa:
    """The windowed layers may have query heads of their own."""
    heads = config.optional_size("swa_num_attention_heads") or config.optional_size("num_sliding_attention_heads")
    return plain.but(
        num_attention_heads=heads or plain.num_attention_heads, sliding_window=config.size("sliding_window")
    )


def _sparse(config: Fields, plain: Gqa) -> Gqa:
    """The full layers: sparse where sparse_config is given and enabled."""
    if not config.has("sparse_config"):
        return plain
    sparse = config.part("sparse_config")
    sparse.ignore(*OF_SPARSE)
    if not sparse.flag("enabled", default=True):
        sparse.ignore(*sparse.config)
        return plain
    if sparse.sequence("apply_to_layer_types", default=[FULL]) != [FULL]:
        sparse.refuse("apply_to_layer_types is not full_attention alone", "No other layers are sparse in Step 5")
    return RegionSparseAttention(
        **{key: value for key, value in vars(plain).items() if key != "kind"},
        index_n_heads=sparse.size("sparse_indexer_num_heads"),
        index_head_dim=sparse.size("proxy_dim"),
        index_topk=sparse.size("topk"),
        region_size=sparse.size("region_block_size"),
    )


def _feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """Experts in the listed layers (or all but the first), dense MLPs in the others."""
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    top_k, width = config.size("moe_top_k", required=True), config.size("moe_intermediate_size", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("moe_num_experts", required=True),
        num_experts_per_tok=top_k,
        moe_intermediate_size=width,
        shared_intermediate_size=config.optional_size("share_expert_dim") or top_k * width,
    )
    listed, other = listed_layers(config, "moe_layers_enum"), listed_layers(config, "moe_layer_list")
    sparse = listed if listed is not None else other
    return [moe if (index > 0 if sparse is None else index in sparse) else dense for index in range(count)]


def _ignore(config: Fields, plain: Gqa) -> None:
    """Keys that repeat others or change no size, and prediction layers."""
    for part in ("full", "sliding"):
        sizes = {f"head_dim_{part}_attention": plain.head_dim}
        fixed(config, **sizes, **{f"num_attention_groups_{part}_attention": plain.num_key_value_heads})
    fixed(config, use_moe=True, att_impl_type="GQA", attention_other_setting=None)
    config.ignore("norm_dtype", "fp32_residual_connection", "need_fp32_gate", "norm_expert_weight", "zero_centered")
    config.ignore("moe_router_activation", "moe_router_scaling_factor", "use_moe_router_bias", "use_rope_layers")
    config.ignore("swiglu_limits", "swiglu_limits_shared", "yarn_only_types", "num_experts_per_tok", "true_head_dim")
    config.ignore("layer_types_with_mtp", "swa_num_attention_heads", "num_sliding_attention_heads", "sliding_window")
