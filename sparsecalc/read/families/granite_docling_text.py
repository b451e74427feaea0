"""The language model of Granite Docling: Granite's layers, which are Llama's."""

from sparsecalc.read.families.llama import read

__all__ = ["read"]
