"""Gemma 4 unified (12B): Gemma 4's text layers without per-layer inputs and without experts."""

from sparsecalc.read.build import Body, body
from sparsecalc.read.families.gemma4_text import layers
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    found = layers(config)
    return body(config, found, hidden=config.size("hidden_size"))
