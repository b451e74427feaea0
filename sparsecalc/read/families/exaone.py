"""EXAONE 3.0 and 3.5, EXAONE Deep: Llama's layers, in configs with GPT-2's names for some keys."""

from sparsecalc.read.families.llama import read

__all__ = ["read"]
