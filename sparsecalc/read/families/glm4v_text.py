"""GLM-4.1V and GLM-4.6V-Flash: GLM-4-0414's layers; the biases on q, k and v are always there."""

from sparsecalc.read.build import Body, fixed
from sparsecalc.read.dense_bodies import biased_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads, _ = config.heads()
    fixed(config, attention_bias=True, head_dim=hidden // heads)
    return biased_body(config, hidden, bias=True, head_dim=hidden // heads)
