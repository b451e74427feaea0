"""Inkling 2: the layers of read/inkling2.py, each run once."""

from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.inkling2 import inkling2_body, inkling2_layers


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    return inkling2_body(config, hidden, inkling2_layers(config, hidden))
