"""The components that parameters and costs are summed by, and the kinds of operations."""

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
