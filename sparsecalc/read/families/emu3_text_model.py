"""The language model of Emu3: Llama's layers."""

from sparsecalc.read.families.llama import read

__all__ = ["read"]
