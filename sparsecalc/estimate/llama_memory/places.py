"""Where weights and caches lie under an engine based on llama.cpp: shares of host memory and of each card."""

from sparsecalc.core.ops import Op
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.places import Shares


def weight_shares(plan: Placement, op: Op, *, alone: bool, tied: bool) -> Shares:
    """Where an op's weights lie: as is placed; else lookups in host memory, and all others on the first card.

    `alone`: the host computes all. `tied`: the input embedding is the head's table too, so that the card has a copy.
    """
    if alone:
        return (1.0,)
    if plan.places:
        return plan.places.of(op)
    if op.kind == "lookup":
        return (1.0, 1.0 if tied and op.name == "embed_tokens" else 0.0)
    return (0.0, 1.0)


def cache_shares(plan: Placement, label: str, *, alone: bool) -> Shares:
    """Where the layers of a kind, and their caches, lie."""
    if alone:
        return (1.0,)
    return plan.places.weights.get((label,), plan.places.output) if plan.places else (0.0, 1.0)
