"""EXAONE 3.0 and 3.5, EXAONE Deep (remote code): Llama's layers with GPT-2's names, no biases.

Not part of transformers: the architecture is that of LG AI Research's published model code; EXAONE-3.5's totals agree
with its 2.4B, 7.8B and 32B.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layer = Layer(
        mixers=(attention(config, hidden),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers("num_layers"), hidden=hidden)
