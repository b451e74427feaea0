"""T5, T5 1.1, Flan-T5 and the many models that share its architecture.

Source: arXiv:1910.10683; checkpoints of T5 1.1 hold an LM head of their own, as their tie_word_embeddings says.
"""

from sparsecalc.read.build import Body
from sparsecalc.read.encoder_decoder import t5_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return t5_body(config)
