"""Beam: attention with q/k norms and a gate per output element, windows with a full layer after each five, leading
dense layers, experts, four norms."""

from sparsecalc.model.basic_parts import Constants, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, every_nth_full, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    heads = mixer.num_attention_heads
    gate = (
        Projection(name="gate_proj", component="attention", in_features=hidden, out_features=heads * mixer.head_dim),
        Constants(name="gate_bias", component="attention", elements=heads),
    )
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    config.ignore("swiglu_limit", "scoring_func", "routed_scaling_factor")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    is_dense = dense_by_type(config, count, [index < 3 for index in range(count)])
    default = [*every_nth_full(count, 6)[:-1], FULL]
    found = windows(config, count, config.optional_size("sliding_window"), default)
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense if plain else moe,),
            norms=norms(hidden, 4),
            extras=gate,
        )
        for window, plain in zip(found, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden)
