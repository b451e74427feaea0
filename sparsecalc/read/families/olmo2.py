"""OLMo 2: norms after attention and MLP, and over all queries and all keys of a token."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import wide_qk_norm_attention
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(wide_qk_norm_attention(config, hidden),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
