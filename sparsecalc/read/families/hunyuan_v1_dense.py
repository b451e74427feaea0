"""Hunyuan 0.5B to 7B: Llama's layers with norms over each query and key head."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import hunyuan_attention
from sparsecalc.read.build import Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, num_experts=1)
    mixer = hunyuan_attention(config, hidden)
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
