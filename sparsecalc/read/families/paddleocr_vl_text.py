"""The language model of PaddleOCR-VL: ERNIE 4.5's dense layers."""

from sparsecalc.read.families.ernie4_5 import read

__all__ = ["read"]
