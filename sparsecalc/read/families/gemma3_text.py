"""Gemma 3: Gemma 2 with norms over queries and keys, and one full layer after each five windowed ones."""

from sparsecalc.read.attention import window_period
from sparsecalc.read.build import Body
from sparsecalc.read.dense_bodies import alternating_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return alternating_body(config, window_period(config), norms_per_layer=4, qk_norm=True)
