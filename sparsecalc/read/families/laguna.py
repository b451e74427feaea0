"""Laguna: gated attention with its own number of query heads in each layer, windows, experts beside a shared one."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, per_layer_sizes


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("moe_router_logit_softcapping", "moe_apply_router_weight_on_input", "moe_routed_scaling_factor")
    config.ignore("swa_rope_parameters", "moe_router_use_sigmoid", "swa_attention_sink_enabled")
    found = windows(config, count, config.optional_size("sliding_window"), [FULL] * count)
    layers = []
    for heads, window, dense in zip(_heads(config, count), found, _dense(config, count), strict=True):
        mixer, gate = _attention(config, hidden, heads)
        layers.append(
            Layer(
                mixers=(mixer.but(sliding_window=window),),
                feed_forwards=(_feed_forward(config, hidden, dense),),
                norms=norms(hidden),
                extras=gate,
            )
        )
    return body(config, layers, hidden=hidden)


def _heads(config: Fields, count: int) -> list[int]:
    """Query heads of each layer; all layers have as many key-value heads."""
    heads, kv_heads = config.heads()
    if not config.has("num_attention_heads_per_layer"):
        config.ignore("num_attention_heads_per_layer")
        return [heads] * count
    found = per_layer_sizes(config, "num_attention_heads_per_layer", count)
    if wrong := [each for each in found if each % kv_heads]:
        config.refuse(f"num_attention_heads_per_layer has {wrong[0]}, not a multiple of {kv_heads} key-value heads")
    return found


def _attention(config: Fields, hidden: int, heads: int) -> tuple[Gqa, tuple[Projection, ...]]:
    """Attention with a gate on its output: one per head, or one for each channel of each head."""
    bias, gating = config.flag("attention_bias"), config.raw("gating")
    _, kv_heads = config.heads()
    mixer = attention(
        config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, qkv_bias=bias, o_bias=bias
    )
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    if gating is True or gating == "per-head":
        return mixer.but(output_gate="per_head"), ()
    if gating != "per-element":
        config.refuse(f"gating is {gating!r}", "Known are true, per-head and per-element")
    width = heads * mixer.head_dim
    return mixer, (Projection(name="g_proj", component="attention", in_features=hidden, out_features=width),)


def _dense(config: Fields, count: int) -> list[bool]:
    """mlp_layer_types, the older mlp_only_layers, or a dense first layer."""
    only = config.integers("mlp_only_layers") if config.has("mlp_only_layers") else [0]
    return dense_by_type(config, count, [index in only for index in range(count)])


def _feed_forward(config: Fields, hidden: int, dense: bool) -> DenseMlp | Moe:
    if dense:
        return mlp(hidden, config.size("intermediate_size", required=True))
    config.ignore("intermediate_size")
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        router_bias=True,
        shared_intermediate_size=config.size("shared_expert_intermediate_size"),
    )
