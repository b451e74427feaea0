"""Granite 3.x dense: Llama's layers; its multipliers scale activations and change no cost."""

from sparsecalc.read.families.llama import read

__all__ = ["read"]
