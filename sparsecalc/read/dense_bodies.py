"""Layers of dense models that several families share."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import causal_only
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def alternating_body(config: Fields, period: int, *, norms_per_layer: int, qk_norm: bool = False) -> Body:
    """Windowed layers with a full one at the end of each `period`, as far as layer_types does not say otherwise."""
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    count = config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    if qk_norm:
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, period))
    return body(config, windowed_layers(mixer, dense, norms(hidden, norms_per_layer), found), hidden=hidden)


def glm_body(config: Fields, norms_per_layer: int) -> Body:
    """The layers of GLM-4, which differ by generation in the number of norms."""
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=config.flag("attention_bias")),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, norms_per_layer),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def biased_body(config: Fields, hidden: int, *, bias: bool, head_dim: int) -> Body:
    """Layers with four norms, and biases on q, k and v or nowhere."""
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, head_dim=head_dim),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, 4),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
