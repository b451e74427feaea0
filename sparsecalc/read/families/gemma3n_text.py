"""Gemma 3n: AltUp keeps several hidden states per token, LAuReL adds a low-rank path, each layer looks up an input of
its own, and the last num_kv_shared_layers layers read the keys and values of an earlier layer."""

from collections.abc import Sequence

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm, Product, Projection, Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windows
from sparsecalc.read.families.gemma import causal_only
from sparsecalc.read.fields import Fields


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


def first_layer_without_cache(config: Fields, layer_windows: Sequence[int | None]) -> int:
    """Index of the first layer that shares an earlier layer's keys and values; the number of layers if none does."""
    count = len(layer_windows)
    first = count - (config.optional_size("num_kv_shared_layers", zero=True) or 0)
    if first < 1 or set(layer_windows[:first]) != set(layer_windows):
        config.refuse("num_kv_shared_layers leaves no layer of some type with keys and values of its own")
    return first


def with_qk_norm(mixer: Gqa, window: int | None, shared: bool) -> Gqa:
    """Norms over queries and keys; a layer that shares keys and values has only the first."""
    gains = mixer.head_dim if shared else 2 * mixer.head_dim
    key_value = "shared" if shared else "own"
    return mixer.but(qk_norm=gains, sliding_window=window, key_value=key_value)


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


def per_layer_projections(hidden: int, width: int) -> tuple[Projection, ...]:
    """How a layer takes in its own input of `width` features: H -> width -> H."""
    return (
        Projection(name="per_layer_input_gate", in_features=hidden, out_features=width),
        Projection(name="per_layer_projection", in_features=width, out_features=hidden),
    )


def per_layer_inputs(hidden: int, count: int, width: int) -> tuple[Projection | Norm, ...]:
    """What makes the inputs of all layers at once, beside the table."""
    return (
        Projection(name="per_layer_model_projection", in_features=hidden, out_features=count * width),
        Norm(name="per_layer_projection_norm", size=width),
    )


def per_layer_table(config: Fields, count: int, width: int) -> Table:
    """A row of all layers' inputs for each token of the vocabulary."""
    return Table(name="embed_tokens_per_layer", rows=config.size("vocab_size_per_layer_input"), size=count * width)
