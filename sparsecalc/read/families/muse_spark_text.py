"""Muse Spark: Muse Glimmer's attention, and experts that work on a narrower state than the model's own."""

from sparsecalc.model.basic_parts import Constants, Norm, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    config.ignore("layer_rope_theta", "qk_scale_factor", "output_multiplier", "post_norm_eps", "routed_scaling_factor")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    width, latent = mixer.num_attention_heads * mixer.head_dim, config.size("moe_hidden_size")
    gate = Projection(name="gate_proj", component="attention", in_features=hidden, out_features=width)
    scales = Constants(name="residual gates", elements=2 * hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    is_dense = dense_by_type(config, count, [False] * count)
    default = [SLIDING if (count - 1 - index) % 4 else FULL for index in range(count)]
    found = windows(config, count, config.optional_size("sliding_window"), default)
    moe = Moe(
        hidden_size=hidden,
        expert_input_size=latent,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense if plain else moe,),
            norms=(*norms(hidden, 3), *(() if plain else _expert_norms(latent))),
            extras=(gate, scales, *(() if plain else _around_experts(hidden, latent))),
        )
        for window, plain in zip(found, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _expert_norms(latent: int) -> tuple[Norm, Norm]:
    """Before and after the experts."""
    return Norm(name="pre_expert_norm", size=latent), Norm(name="post_expert_norm", size=latent)


def _around_experts(hidden: int, latent: int) -> tuple[Projection, Projection]:
    """The maps into the experts' state and back."""
    down = Projection(name="pre_expert_proj", in_features=hidden, out_features=latent)
    return down, Projection(name="post_expert_proj", in_features=latent, out_features=hidden)
