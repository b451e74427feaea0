"""Where weights and caches lie under llama.cpp: shares of host memory and of each card."""

from sparsecalc.core.ops import Op
from sparsecalc.estimate.placement import Placement

Shares = tuple[float, ...]
"""In host memory, and on each card in order."""

HOST_ONLY: Shares = (1.0, 0.0)
FIRST_CARD: Shares = (0.0, 1.0)


def weight_shares(plan: Placement, op: Op) -> Shares:
    """Where an op's weights lie: lookups in host memory, all else on the first card."""
    return HOST_ONLY if op.kind == "lookup" else FIRST_CARD


def cache_shares(plan: Placement, label: str) -> Shares:
    """Where the layers of a kind keep their caches."""
    return FIRST_CARD
