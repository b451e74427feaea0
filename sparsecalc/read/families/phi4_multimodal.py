"""Phi-4-multimodal: Phi-3's text decoder; the vision and audio towers beside it are left out."""

from sparsecalc.read.build import Body
from sparsecalc.read.families import phi3
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return phi3.read(config)
