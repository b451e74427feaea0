"""The text part of Hunyuan 4: the same layers, with other default sizes."""

from sparsecalc.read.families.hy_v4 import read

__all__ = ["read"]
