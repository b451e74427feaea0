"""GLM-OCR: GLM-4.1V's layers without biases."""

from sparsecalc.read.build import Body, fixed
from sparsecalc.read.dense_bodies import biased_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads, _ = config.heads()
    fixed(config, attention_bias=False)
    return biased_body(config, hidden, bias=False, head_dim=config.head_dim(hidden, heads))
