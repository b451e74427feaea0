"""Cohere 2 MoE: Cohere's parallel layers with experts, behind first_k_dense_replace dense layers with a window pattern
of their own."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windows, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import ignore_cohere_keys


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    without(config, "use_qk_norm")
    ignore_cohere_keys(config)
    config.ignore("expert_selection_fn", "shared_expert_combination_strategy")
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    width = config.size("intermediate_size", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=(config.optional_size("num_shared_experts", zero=True) or 0) * width,
    )
    dense = mlp(hidden, config.optional_size("prefix_dense_intermediate_size") or width)
    leading = min(config.optional_size("first_k_dense_replace", zero=True) or 0, count)
    pattern = [
        *every_nth_full(
            leading, config.size("prefix_dense_sliding_window_pattern", default=_period(config, "prefix_dense_"))
        ),
        *every_nth_full(count - leading, config.size("sliding_window_pattern", default=_period(config, ""))),
    ]
    found = windows(config, count, config.optional_size("sliding_window"), pattern)
    kinds = config.per_layer("mlp_layer_types", count, ("dense", "sparse"))
    kinds = kinds or ["dense" if index < leading else "sparse" for index in range(count)]
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(moe if kind == "sparse" else dense,),
            norms=norms(hidden, 1),
        )
        for window, kind in zip(found, kinds, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _period(config: Fields, prefix: str) -> int:
    """The class's own pattern, which needs no warning."""
    return int(config.defaults[f"{prefix}sliding_window_pattern"])
