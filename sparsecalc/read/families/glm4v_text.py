"""GLM-4.1V and GLM-4.6V-Flash: GLM-4-0414's layers; the biases on q, k and v are always there."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads, _ = config.heads()
    fixed(config, attention_bias=True, head_dim=hidden // heads)
    return biased_body(config, hidden, bias=True, head_dim=hidden // heads)


def biased_body(config: Fields, hidden: int, *, bias: bool, head_dim: int) -> Body:
    """Layers with four norms, and biases on q, k and v or nowhere."""
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, head_dim=head_dim),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, 4),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
