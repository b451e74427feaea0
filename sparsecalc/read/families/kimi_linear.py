"""Kimi Linear: Kimi Delta Attention with latent attention at every fourth layer, shared and routed experts."""

from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.read.build import FULL, Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    linear = config.part("linear_attn_config")
    heads = linear.size("num_heads", default=config.size("linear_num_heads"))
    width = linear.size("head_dim", default=config.size("linear_head_dim"))
    delta = GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=heads,
        num_value_heads=heads,
        key_head_dim=width,
        value_head_dim=width,
        conv_kernel=linear.size("short_conv_kernel_size", default=config.size("linear_conv_kernel_dim")),
        channel_decay=True,
    )
    full = latent_attention(config, hidden)
    for key in ("linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim"):
        if linear.config:
            config.defaulted.pop(key, None)
    config.ignore("head_dim", "mla_use_nope", "moe_router_activation_func", "use_grouped_topk")
    mixers: list[Mla | GatedDeltaNet] = [full if kind == FULL else delta for kind in _kinds(config, linear, count)]
    moe = deepseek_moe(config, hidden, experts="num_local_experts", shared="n_shared_experts")
    return deepseek_body(config, hidden, mixers, moe, dense_layers=1)


def _kinds(config: Fields, linear: Fields, count: int) -> list[str]:
    """layer_types, or the checkpoint's lists of layers (numbered from 1)."""
    given = config.per_layer("layer_types", count, (LINEAR, FULL))
    full, delta = linear.integers("full_attn_layers"), linear.integers("kda_layers")
    if given:
        return given
    if full or delta:
        if sorted([*full, *delta]) != list(range(1, count + 1)):
            config.refuse("linear_attn_config does not name each layer once")
        return [FULL if index + 1 in full else LINEAR for index in range(count)]
    return [FULL if index and index % 4 == 0 else LINEAR for index in range(count)]
