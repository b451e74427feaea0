"""Step 3.5 and 3.7 Flash: gated attention, more query heads in windowed layers, experts with a shared one."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import listed_layers
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    heads, kv_heads = config.heads()
    window_heads = config.optional_size("num_sliding_attention_heads", default=None) or _older_heads(config) or heads
    bias, window = config.flag("attention_bias"), config.optional_size("sliding_window")
    fixed(config, gating=True, use_head_wise_attn_gate=True, use_moe=True, use_qk_norm=True, n_shared_experts=1)
    fixed(config, moe_layer_offset=0, moe_every_n_layer=1)
    config.ignore("query_pre_attn_scalar", "swiglu_limits", "swiglu_limits_shared", "use_rope_layers", "zero_centered")
    config.ignore("moe_router_scaling_factor", "need_fp32_gate", "norm_expert_weight", "yarn_only_types", "sink")
    config.ignore("use_moe_router_bias", "moe_router_activation", "att_impl_type", "first_k_dense_replace")
    kinds = (config.sequence("layer_types") or [FULL] * count)[:count]
    if len(kinds) < count or set(kinds) - {SLIDING, FULL}:
        config.refuse(f"layer_types needs {count} entries, {SLIDING} or {FULL}")
    if SLIDING in kinds and window is None:
        config.refuse("layer_types has sliding_attention, but sliding_window is missing")
    plain = attention(
        config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, qkv_bias=bias, o_bias=bias
    )
    plain = plain.but(qk_norm=2 * plain.head_dim, output_gate="per_head")
    windowed = plain.but(num_attention_heads=window_heads, sliding_window=window)
    _prediction(config, hidden, plain, windowed, count)
    layers = [
        Layer(
            mixers=(windowed if kind == SLIDING else plain,),
            feed_forwards=(feed_forward,),
            norms=norms(hidden),
        )
        for kind, feed_forward in zip(kinds, _feed_forwards(config, hidden, count), strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _prediction(config: Fields, hidden: int, plain: Gqa, windowed: Gqa, count: int) -> None:
    """Layers for prediction: of the kinds that stand behind the decoder's in layer_types, or in mtp_layer_types.

    They have a dense MLP (vLLM 0.33.0, step3p5.py and step3p5_mtp.py), unless mtp_mlp_layer_types says otherwise.
    """
    steps, bias = mtp_steps(config), config.flag("mlp_bias")
    kinds = [*(config.sequence("layer_types") or []), *(config.sequence("mtp_layer_types") or [])][count:][:steps]
    others = set(map(str, config.sequence("mtp_mlp_layer_types") or [])) - {"dense"}
    if not steps or len(kinds) < steps or set(map(str, kinds)) - {SLIDING, FULL} or others:
        note_mtp(config, as_deepseek=False)
        return
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=bias)
    mixers = [windowed if kind == SLIDING else plain for kind in kinds]
    count_mtp(config, [[Layer(mixers=(each,), feed_forwards=(dense,), norms=norms(hidden))] for each in mixers], hidden)


def _older_heads(config: Fields) -> int | None:
    """The released configs' attention_other_setting, which holds the heads of the windowed layers."""
    if not config.has("attention_other_setting"):
        return None
    other = config.part("attention_other_setting")
    other.ignore("attention_type", "num_attention_groups", "head_dim", "true_head_dim")
    return other.optional_size("num_attention_heads")


def _feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """A dense MLP or experts, by mlp_layer_types, by the older moe_layers_enum, or experts from layer 3 on."""
    bias = config.flag("mlp_bias")
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=bias)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        shared_intermediate_size=config.size("share_expert_dim"),
        shared_bias=bias,
    )
    kinds = config.sequence("mlp_layer_types")
    if kinds is not None and (len(kinds) < count or set(map(str, kinds)) - {"dense", "sparse"}):
        config.refuse(f"mlp_layer_types needs {count} entries, dense or sparse")
    if kinds:
        return [moe if kind == "sparse" else dense for kind in kinds[:count]]
    sparse = listed_layers(config, "moe_layers_enum")
    if sparse is None:
        return [dense if index < 3 else moe for index in range(count)]
    return [moe if index in sparse else dense for index in range(count)]
