"""Mixtures of experts by the keys that several families share, and which layers have them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsecalc.core.text import brief
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import (
    Body,
    body,
    fixed,
    mlp,
    norms,
)
from sparsecalc.read.fields import Fields, whole

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Mixer
    from sparsecalc.model.latent import Mla


def routed_and_shared_experts(
    config: Fields, hidden: int, experts: str = "n_routed_experts", shared: str = "n_shared_experts"
) -> Moe:
    """Routed experts of moe_intermediate_size and shared ones of the same width."""
    width = config.size("moe_intermediate_size")
    return Moe(
        hidden_size=hidden,
        num_experts=config.size(experts, required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=(config.optional_size(shared, zero=True) or 0) * width,
    )


def dense_or_moe_body(
    config: Fields,
    hidden: int,
    mixers: "Sequence[Mixer]",
    moe: Moe,
    is_dense: Sequence[bool],
    *,
    mlp_bias: bool = False,
    tied: bool | None = None,
) -> Body:
    """One mixer per layer, over a dense MLP where `is_dense`, over experts elsewhere."""
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=mlp_bias) if any(is_dense) else moe
    config.ignore("intermediate_size")
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(dense if plain else moe,), norms=norms(hidden))
        for mixer, plain in zip(mixers, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden, tied=tied)


def leading_dense(config: Fields, count: int) -> list[bool]:
    """Dense MLPs in the first first_k_dense_replace layers."""
    first = config.optional_size("first_k_dense_replace", zero=True) or 0
    if config.optional_size("moe_layer_freq", default=1, zero=True) != 1:
        config.note("moe-layer-freq", "moe_layer_freq is not 1; transformers ignores it, and so do these counts")
    return [index < first for index in range(count)]


def sparse_by_frequency(config: Fields, count: int) -> list[bool]:
    """Experts by mlp_layer_types, or from first_k_dense_replace on in every moe_layer_freq-th layer."""
    first, every = config.size("first_k_dense_replace", default=1, zero=True), config.size("moe_layer_freq", default=1)
    default = [index < first or index % every != 0 for index in range(count)]
    return [not dense for dense in dense_by_type(config, count, default)]


def dense_by_type(config: Fields, count: int, default: Sequence[bool]) -> list[bool]:
    """Where mlp_layer_types says so, or by the family's default."""
    given = config.per_layer("mlp_layer_types", count, ("dense", "sparse"))
    return [kind == "dense" for kind in given] if given else list(default)


def indexed_moe_body(config: Fields, hidden: int, mixers: "list[Mla]") -> Body:
    """The layers of V3 around these mixers; layer_types only names the kind of cache."""
    fixed(config, mlp_bias=False)
    config.ignore("layer_types")
    is_dense = dense_by_type(config, len(mixers), leading_dense(config, len(mixers)))
    return dense_or_moe_body(config, hidden, mixers, routed_and_shared_experts(config, hidden), is_dense)


def local_experts(config: Fields, hidden: int, shared: int = 0) -> Moe:
    """num_local_experts experts of intermediate_size, and a shared MLP of width `shared`."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
        shared_intermediate_size=shared,
    )


def qwen_sparse_layers(config: Fields, count: int) -> list[bool]:
    """Qwen's rule: every decoder_sparse_step-th layer has experts, unless mlp_only_layers names it."""
    step = config.size("decoder_sparse_step", default=config.defaults.get("decoder_sparse_step", 1))
    dense = set(config.integers("mlp_only_layers"))
    return [index not in dense and (index + 1) % step == 0 for index in range(count)]


def gated_shared_moe(config: Fields, hidden: int) -> Moe:
    """Routed experts and a gated shared expert, as all of Qwen's that have one."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        shared_intermediate_size=config.size("shared_expert_intermediate_size", zero=True),
        shared_gate=True,
    )


def qwen_feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """Experts by Qwen's rule, dense MLPs of intermediate_size in the other layers."""
    moe, sparse = gated_shared_moe(config, hidden), qwen_sparse_layers(config, count)
    dense = None if all(sparse) else mlp(hidden, config.size("intermediate_size"))
    config.ignore("intermediate_size")
    return [moe if is_sparse or dense is None else dense for is_sparse in sparse]


def per_layer_sizes(config: Fields, key: str, count: int) -> list[int]:
    """One number for all layers, or a list with one for each."""
    value = config.raw(key)
    if not isinstance(value, list):
        return [config.size(key, required=True)] * count
    value = [whole(each) for each in value]
    if len(value) < count or not all(type(each) is int and each > 0 for each in value):
        config.refuse(f"{key} is {brief(value)}", f"It needs one positive integer for each of the {count} layers")
    return value[:count]


def listed_layers(config: Fields, key: str) -> set[int] | None:
    """Layers by their places, as a list or as numbers with commas between them; None where the key is absent."""
    listed = config.raw(key, default=None)
    words = listed.split(",") if isinstance(listed, str) else listed
    if words is None:
        return None
    if not isinstance(words, list) or any(not str(word).strip().isdigit() for word in words if str(word).strip()):
        config.refuse(f"{key} is not a list of layers")
    return {int(word) for word in words if str(word).strip()}
