"""Muse Spark 816B-A42B: gated attention, windowed or full, and experts on a latent of their own width.

Norms over queries, keys and attention's output have no gain, nor has the norm after attention; each residual
connection has a gate of hidden_size. The 816 B of Muse-Spark-Open's name are those without embeddings.
"""

from sparsecalc.model.basic_parts import Constants, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, fixed, mlp, norms, windows, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "attention_bias")
    fixed(config, num_shared_experts=0)
    config.ignore(
        "layer_rope_theta", "output_multiplier", "post_norm_eps", "qk_scale_factor", "residual_gate_temperature"
    )
    mixer = attention(config, hidden, output_gate="per_element")
    found = windows(config, count, config.optional_size("sliding_window"), [FULL] * count)
    is_dense = dense_by_type(config, count, [False] * count)
    gates = Constants(name="residual gates", component="router", elements=2 * hidden)
    sparse = _sparse(config, hidden)
    dense = Layer(feed_forwards=(mlp(hidden, config.size("intermediate_size")),)) if any(is_dense) else sparse
    config.ignore("intermediate_size")
    layers = []
    for window, plain in zip(found, is_dense, strict=True):
        part = dense if plain else sparse
        extras = (gates, *part.extras)
        layers.append(part.but(mixers=(mixer.but(sliding_window=window),), norms=norms(hidden, 3), extras=extras))
    return body(config, layers, hidden=hidden)


def _sparse(config: Fields, hidden: int) -> Layer:
    """Experts of moe_hidden_size between two maps, with a norm on each side of them."""
    width = config.size("moe_hidden_size")
    moe = Moe(
        hidden_size=hidden,
        expert_input_size=width,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    extras = (
        Projection(name="pre_expert_proj", in_features=hidden, out_features=width),
        Constants(name="pre_expert_norm, post_expert_norm", component="norm", elements=2 * width),
        Projection(name="post_expert_proj", in_features=width, out_features=hidden),
    )
    return Layer(feed_forwards=(moe,), extras=extras)
