"""umT5: T5 1.1 with relative position biases in every layer.

Source: arXiv:1910.10683; checkpoints of T5 1.1 hold an LM head of their own, as their tie_word_embeddings says.
"""

from sparsecalc.read.build import Body
from sparsecalc.read.encoder_decoder import t5_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return t5_body(config, bias_in_each_layer=True)
