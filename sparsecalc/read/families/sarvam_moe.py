"""Sarvam 30B: GLM-4.5's layers under names of its own for some keys."""

from sparsecalc.read.families.glm4_moe import read

__all__ = ["read"]
