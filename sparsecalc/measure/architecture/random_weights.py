"""Storage for a model that was built on meta: random weights, and buffers as transformers initialises them."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from sparsecalc.measure.machine.random_tensors import BLOCK, fill_repeatedly

STANDARD_DEVIATION = 0.02
"""Of random weights, as transformers initialises linear maps (initializer_range)."""


def stored_dtype(tensor: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    """`dtype` for what follows the model's dtype; what a class keeps in another format stays so."""
    return dtype if tensor.dtype == torch.bfloat16 else tensor.dtype


def give_storage(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Buffers as transformers initialises them, and random weights, on `device`."""
    moved: dict[int, torch.Tensor] = {}
    owners: dict[nn.Module, Any] = {}
    for outer in model.modules():
        if isinstance(outer, PreTrainedModel):
            owners.update(dict.fromkeys(outer.modules(), outer))
    for module in model.modules():
        on_meta = [(holder, name) for holder, name, tensor in _plain_tensors(module) if tensor.is_meta]
        for holder, name in on_meta:
            old = holder[name]
            holder[name] = moved.setdefault(id(old), torch.zeros(old.shape, dtype=stored_dtype(old, dtype)))
        if on_meta and module in owners:
            with torch.no_grad():
                owners[module]._init_weights(module)  # parameters are on meta still: only buffers are filled
    _fill(model, device, dtype)
    for module in model.modules():
        for holder, name, tensor in _plain_tensors(module):
            holder[name] = tensor.to(device)


def _plain_tensors(module: nn.Module) -> list[tuple[dict[str, Any], str, torch.Tensor]]:
    """Buffers, and tensors that are plain attributes: what holds each, and under which name."""
    holders = (module._buffers, vars(module))
    return [(holder, name, t) for holder in holders for name, t in holder.items() if isinstance(t, torch.Tensor)]


def _fill(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Random weights: matrices around 0, gains and biases around 1, none of them exactly 0."""
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)).mul_(STANDARD_DEVIATION)
    block[block == 0] = STANDARD_DEVIATION
    block = block.to(device)
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, tensor in module._parameters.items():
            if tensor is None:
                continue
            if id(tensor) not in made:
                real = torch.empty(tensor.shape, dtype=stored_dtype(tensor, dtype), device=device)
                source = (block + 1 if real.dim() == 1 else block).to(real.dtype)
                made[id(tensor)] = nn.Parameter(fill_repeatedly(real, source), requires_grad=False)
            module._parameters[name] = made[id(tensor)]
