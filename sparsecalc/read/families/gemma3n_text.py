"""Gemma 3n: AltUp keeps several hidden states per token, LAuReL adds a low-rank path, each layer looks up an input of
its own, and the last num_kv_shared_layers layers read the keys and values of an earlier layer."""

from sparsecalc.model.basic_parts import Constants, Norm, Product, Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import causal_only
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.per_layer_inputs import (
    first_layer_without_cache,
    per_layer_inputs,
    per_layer_projections,
    per_layer_table,
    with_qk_norm,
)


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    config.ignore("activation_sparsity_pattern", "altup_active_idx", "altup_coef_clip", "altup_correct_scale")
    count, inputs = config.layers(), config.size("altup_num_inputs")
    width = config.size("hidden_size_per_layer_input")
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, 5))
    first_shared = first_layer_without_cache(config, found)
    names = ("altup.router_norm", "laurel.post_laurel_norm", "post_per_layer_input_norm")
    extras = (
        *altup(hidden, inputs),
        *laurel(hidden, config.size("laurel_rank")),
        *per_layer_projections(hidden, width),
    )
    layers = [
        Layer(
            mixers=(with_qk_norm(mixer, window, index >= first_shared),),
            feed_forwards=(mlp(hidden, intermediate),),
            norms=(*norms(hidden, 4), *(Norm(name=name, size=hidden) for name in names)),
            extras=extras,
        )
        for index, (window, intermediate) in enumerate(zip(found, _intermediate_sizes(config, count), strict=True))
    ]
    final = (
        Norm(size=hidden),
        *per_layer_inputs(hidden, count, width),
        Projection(name="altup_projections", in_features=hidden, out_features=hidden, matrices=inputs - 1),
        Projection(name="altup_unembed_projections", in_features=hidden, out_features=hidden, matrices=inputs - 1),
    )
    return body(config, layers, hidden=hidden, final=final, tables=(per_layer_table(config, count, width),))


def _intermediate_sizes(config: Fields, count: int) -> list[int]:
    """intermediate_size for all layers, or a list with one for each."""
    if not isinstance(config.raw("intermediate_size"), list):
        return [config.size("intermediate_size", required=True)] * count
    sizes = config.integers("intermediate_size")
    if len(sizes) != count or any(size < 1 for size in sizes):
        config.refuse(f"intermediate_size must hold one positive size for each of the {count} layers")
    return sizes


def altup(hidden: int, inputs: int) -> tuple[Projection | Product | Constants, ...]:
    """Alternating updates over `inputs` hidden states: the router runs for the prediction and for the correction."""
    return (
        Projection(name="altup.modality_router", in_features=hidden, out_features=inputs, per_token=2),
        Projection(name="altup.prediction_coefs", in_features=inputs, out_features=inputs**2),
        Projection(name="altup.correction_coefs", in_features=inputs, out_features=inputs),
        Product(name="altup.predict", rows=hidden, in_features=inputs, out_features=inputs),
        Constants(name="altup.correct_output_scale", elements=hidden),
    )


def laurel(hidden: int, rank: int) -> tuple[Projection, ...]:
    """Learned augmented residual: H -> rank -> H."""
    return (
        Projection(name="laurel.linear_left", in_features=hidden, out_features=rank),
        Projection(name="laurel.linear_right", in_features=rank, out_features=hidden),
    )
