"""Falcon Mamba: Mamba 1; its norms over the step size, B and C have no parameters."""

from sparsecalc.read.families.mamba import read

__all__ = ["read"]
