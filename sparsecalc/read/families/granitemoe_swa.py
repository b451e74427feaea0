"""Granite MoE with sliding windows and attention sinks; a shared MLP of shared_intermediate_size (0: none)."""

from sparsecalc.read.attention import first_of_four_full, with_sinks
from sparsecalc.read.build import Body, body, norms, windowed_layers, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "mlp_bias")
    moe = local_experts(config, hidden, config.size("shared_intermediate_size", zero=True))
    layers = windowed_layers(with_sinks(config, hidden), moe, norms(hidden), first_of_four_full(config))
    return body(config, layers, hidden=hidden)
