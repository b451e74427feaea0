"""The language model of Hunyuan-VL: Hunyuan's dense layers."""

from sparsecalc.read.families.hunyuan_v1_dense import read

__all__ = ["read"]
