"""VaultGemma: Gemma 2 with two norms per layer instead of four."""

from sparsecalc.read.build import Body
from sparsecalc.read.dense_bodies import alternating_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return alternating_body(config, 2, norms_per_layer=2)
