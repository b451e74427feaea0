"""Granite 4.0: Mamba 2 and attention by layer_types; a shared MLP in every layer, beside experts where any."""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts
from sparsecalc.read.recurrent import mamba2_mixer

LINEAR = "linear_attention"
OLD_NAMES = {"mamba": LINEAR, "attention": FULL}


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "mlp_bias")
    config.ignore("normalization_function", "position_embedding_type")
    bias = config.flag("attention_bias")
    full = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    recurrent = mamba2_mixer(config, hidden, config.size("mamba_expand") * hidden)
    shared = config.size("shared_intermediate_size", zero=True)
    feed_forward: DenseMlp | Moe = mlp(hidden, shared)
    if config.size("num_local_experts", required=True, zero=True):
        feed_forward = local_experts(config, hidden, shared)
    config.ignore("num_experts_per_tok", "intermediate_size")
    layers = [
        Layer(mixers=(full if kind == FULL else recurrent,), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind in layer_kinds(config, count, LINEAR)
    ]
    return body(config, layers, hidden=hidden)


def layer_kinds(config: Fields, count: int, default: str) -> list[str]:
    """layer_types by their present names, `default` in all layers where there are none."""
    found = config.per_layer("layer_types", count, (*OLD_NAMES, *OLD_NAMES.values()))
    return [OLD_NAMES.get(kind, kind) for kind in found or [default] * count]
