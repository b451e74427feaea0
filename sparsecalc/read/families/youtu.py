"""Youtu-LLM: DeepSeek-V3's latent attention over dense MLPs."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("embedding_initializer_range", "rope_interleave")
    layer = Layer(
        mixers=(latent_attention(config, hidden),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
