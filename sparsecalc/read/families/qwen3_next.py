"""Qwen3-Next-80B-A3B: three gated delta nets to each gated attention; experts with a gated shared one."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, fixed, norms
from sparsecalc.read.families.qwen2_moe import feed_forwards
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    return hybrid_body(config, hidden, feed_forwards(config, hidden, count))


def hybrid_body(config: Fields, hidden: int, each: list[DenseMlp | Moe]) -> Body:
    """One of the feed-forwards in each layer, under a gated delta net or gated attention."""
    fixed(config, use_sliding_window=False, attn_output_gate=True)
    config.ignore("sliding_window", "max_window_layers")
    mixers: dict[str, Gqa | GatedDeltaNet] = {LINEAR: delta_net(config, hidden), FULL: gated_attention(config, hidden)}
    layers = [
        Layer(mixers=(mixers[kind],), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind, feed_forward in zip(layer_kinds(config, len(each)), each, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def delta_net(config: Fields, hidden: int) -> GatedDeltaNet:
    """The gated delta net of the linear layers."""
    keys, values = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    if values % keys:
        config.refuse(f"linear_num_value_heads ({values}) is not a multiple of linear_num_key_heads ({keys})")
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=keys,
        num_value_heads=values,
        key_head_dim=config.size("linear_key_head_dim"),
        value_head_dim=config.size("linear_value_head_dim"),
        conv_kernel=config.size("linear_conv_kernel_dim"),
    )


def gated_attention(config: Fields, hidden: int) -> Gqa:
    """Attention with a gate per output element and norms over the heads of queries and keys."""
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, output_gate="per_element")
    return mixer.but(qk_norm=2 * mixer.head_dim)


def layer_kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or full attention at the end of each full_attention_interval."""
    period = config.size("full_attention_interval", default=config.defaults["full_attention_interval"])
    kinds = config.per_layer("layer_types", count, (LINEAR, FULL))
    return kinds or [LINEAR if (index + 1) % period else FULL for index in range(count)]
