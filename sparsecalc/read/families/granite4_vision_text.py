"""The language model of Granite 4 Vision: Granite's layers, which are Llama's."""

from sparsecalc.read.families.llama import read

__all__ = ["read"]
