"""GLM-4-0414 and GLM-Z1: GLM-4 with norms before and after both parts of a layer."""

from sparsecalc.read.build import Body
from sparsecalc.read.dense_bodies import glm_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return glm_body(config, norms_per_layer=4)
