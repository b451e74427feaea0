"""Gemma 2: four norms per layer, every second layer windowed, input table as LM head."""

from sparsecalc.read.build import Body
from sparsecalc.read.dense_bodies import alternating_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    config.ignore("sliding_window_size")
    return alternating_body(config, 2, norms_per_layer=4)
