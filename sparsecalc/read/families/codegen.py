"""CodeGen: GPT-J's layers, with q, k and v in one matrix."""

from sparsecalc.read.families.gptj import read

__all__ = ["read"]
