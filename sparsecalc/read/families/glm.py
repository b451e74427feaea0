"""GLM-4 9B (0414's predecessor, -hf checkpoints): Llama's layers with biases on q, k and v where attention_bias."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return glm_body(config, norms_per_layer=2)


def glm_body(config: Fields, norms_per_layer: int) -> Body:
    """The layers of GLM-4, which differ by generation in the number of norms."""
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=config.flag("attention_bias")),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, norms_per_layer),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
