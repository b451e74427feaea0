"""Sarvam 105B: DeepSeek-V3's layers under names of its own for some keys."""

from sparsecalc.read.families.deepseek_v3 import read

__all__ = ["read"]
