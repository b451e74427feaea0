"""mBART: BART with a norm at the end of each stack. Source: arXiv:1910.13461."""

from sparsecalc.read.build import Body
from sparsecalc.read.encoder_decoder import bart_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return bart_body(config, final_norms=True)
