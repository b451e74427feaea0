"""GLM-4 9B (0414's predecessor, -hf checkpoints): Llama's layers with biases on q, k and v where attention_bias."""

from sparsecalc.read.build import Body
from sparsecalc.read.dense_bodies import glm_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return glm_body(config, norms_per_layer=2)
