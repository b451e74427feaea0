"""Gemma 4 unified (12B): Gemma 4's text layers without per-layer inputs and without experts."""

from sparsecalc.read.build import Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.gemma4 import gemma4_layers


def read(config: Fields) -> Body:
    found = gemma4_layers(config)
    return body(config, found, hidden=config.size("hidden_size"))
