"""Ministral 3: Mistral's tensors; only the scaling of its rotary positions differs."""

from sparsecalc.read.families.mistral import read

__all__ = ["read"]
