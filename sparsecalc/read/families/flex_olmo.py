"""FlexOlmo: OLMo 2's attention with OLMoE's experts (the same tensors as OLMoE, with the norms in other places)."""

from sparsecalc.read.families.olmoe import read

__all__ = ["read"]
