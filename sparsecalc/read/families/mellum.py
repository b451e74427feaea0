"""Mellum 2: Qwen3-MoE's layers with windows, dense MLPs where mlp_layer_types says so."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import FULL, Body, attention, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    found = windows(config, count, config.optional_size("sliding_window"), [FULL] * count)
    config.ignore("mtp_layer_types", "mtp_mlp_layer_types")
    note_mtp(config, as_deepseek=False)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    is_dense = dense_by_type(config, count, [False] * count)
    return dense_or_moe_body(config, hidden, [mixer.but(sliding_window=window) for window in found], moe, is_dense)
