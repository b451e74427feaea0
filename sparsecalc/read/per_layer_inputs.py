"""Inputs of their own for each layer, and layers that share keys and values (Gemma 3n, Gemma 4)."""

from collections.abc import Sequence

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm, Projection, Table
from sparsecalc.read.fields import Fields


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
