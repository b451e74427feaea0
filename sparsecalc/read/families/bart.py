"""BART, and the language model of Florence 2. Source: arXiv:1910.13461."""

from sparsecalc.read.build import Body
from sparsecalc.read.encoder_decoder import bart_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return bart_body(config, final_norms=False)
