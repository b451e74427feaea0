"""The components that parameters and costs are summed by; the kinds of operations, and their roles in a layer."""

from typing import Literal, get_args

Component = Literal[
    "embedding",
    "attention",
    "dense_ffn",
    "routed_experts",
    "shared_experts",
    "router",
    "norm",
    "state_space",
    "lm_head",
    "other",
]

COMPONENTS: tuple[Component, ...] = get_args(Component)

Kind = Literal["matmul", "experts", "attention", "scan", "conv", "vector", "lookup"]

Role = Literal[
    "",
    "gate_up",
    "gate_up_adapter",
    "neurons",
    "query_head",
    "key_value",
    "state_update",
    "indexer",
]
"""What techniques and kernels must know about an op beyond its kind:

    gate_up           an MLP's products before its activation
    gate_up_adapter   a low-rank addition to them
    neurons           an MLP's other products, whose rows or columns are neurons too
    query_head        divided among query heads: what is left out with a head
    key_value         fills the cache: later tokens need it of every token
    state_update      a product inside a recurrence, which counters of matrix products do not see
    indexer           scores of a sparse attention's indexer
"""
