"""Jet-Nemotron (2B, 4B): gated delta nets whose convolution is dynamic, with full or windowed attention in some layers.

Not part of transformers: the architecture is that of NVIDIA's published model code, as SGLang 0.5.23 serves it
(jet_nemotron.py; arXiv:2508.15884).
"""

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields

JET, ATTENTION, WINDOWED = "jet", "attn", "swa"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    kinds = config.per_layer("layer_types", count, (JET, ATTENTION, WINDOWED))
    if kinds is None:
        config.refuse("layer_types is missing", f"Each layer is {JET}, {ATTENTION} or {WINDOWED}")
    parts = config.part("efficient_attention_config")
    full = attention(config, hidden, qkv_bias=True)
    mixers: dict[str, Gqa | GatedDeltaNet] = {ATTENTION: full}
    if WINDOWED in kinds:
        mixers[WINDOWED] = full.but(sliding_window=parts.part(WINDOWED).size("window_size"))
    if JET in kinds:
        mixers[JET] = _delta_net(hidden, parts.part(JET))
    parts.ignore(JET, WINDOWED)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = [Layer(mixers=(mixers[kind],), feed_forwards=(dense,), norms=norms(hidden)) for kind in kinds]
    return body(config, layers, hidden=hidden)


def _delta_net(hidden: int, jet: Fields) -> GatedDeltaNet:
    """The delta net; its convolution's taps come from hidden_size / dconv_generator_reduction features."""
    heads, dim, reduction = jet.size("num_heads"), jet.size("head_dim"), jet.size("dconv_generator_reduction")
    values = int(dim * jet.number("expand_v"))
    if values < 1 or heads * values < reduction:
        jet.refuse(f"expand_v is {brief(jet.raw('expand_v'))} beside {heads} heads of {dim}", "Check the config")
    jet.ignore("mode", "norm_eps", "dconv_implementation")
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=heads,
        num_value_heads=heads,
        key_head_dim=dim,
        value_head_dim=values,
        conv_kernel=jet.size("conv_size"),
        dynamic_conv_width=heads * values // reduction,
    )
