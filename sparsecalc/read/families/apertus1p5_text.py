"""The text part of Apertus 1.5: Apertus, whose LM head may leave out the rows of image and audio tokens."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.apertus import read as read_apertus
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    found = read_apertus(config)
    rows = config.optional_size("output_vocab_size")
    if rows is None or rows == found.vocab_size or found.head is None:
        return found
    if rows > found.vocab_size or found.tie_word_embeddings:
        config.refuse(f"output_vocab_size is {rows}", "A shorter LM head is a matrix of its own, of fewer rows")
    found.head = found.head.but(out_features=rows)
    return found
