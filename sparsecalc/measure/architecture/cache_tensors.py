"""The tensors of a cache as transformers keeps it."""

from collections.abc import Iterator
from typing import Any

import torch


def cache_tensors(holder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors with dimensions that a cache, or its part for one layer, holds by itself, with their names."""
    for name, value in vars(holder).items():
        if not name.startswith("_"):
            yield from ((name, tensor) for tensor in _tensors(value))


def holds_tokens(name: str) -> bool:
    """Whether a tensor of that name holds something of every token: keys, values, latents, an indexer's keys."""
    return name in ("keys", "values", "compressed_kv", "idx_keys") or ("index" in name and "position" not in name)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.dim() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
