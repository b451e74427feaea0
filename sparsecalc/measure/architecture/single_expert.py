"""Experts on the meta device: all rows that are routed to a layer's experts go through the matrices of the first one.

The default grouped kernel would hide its products from a counter of FLOPs.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


@contextmanager
def single_experts(model: nn.Module, top_k: int) -> Iterator[None]:
    """Every module that holds experts sends its rows through the first expert only."""
    replaced = [module for module in model.modules() if expert_product(module) or _is_gating(module)]
    for module in replaced:
        module.forward = _gate(module) if _is_gating(module) else _through_one(module, top_k)
    warn = PreTrainedModel.warn_if_padding_and_no_attention_mask  # looks at values, which meta tensors have not
    PreTrainedModel.warn_if_padding_and_no_attention_mask = lambda *args: None
    checks = torch.distributions.Distribution._validate_args  # gemma-3n builds one in its forward pass
    torch.distributions.Distribution.set_default_validate_args(False)
    autocast = torch.autocast  # refuses the meta device; transformers 4 switches it off around rotary embeddings
    torch.autocast = lambda *args, **kwargs: nullcontext()
    try:
        yield
    finally:
        torch.autocast = autocast
        torch.distributions.Distribution.set_default_validate_args(checks)
        PreTrainedModel.warn_if_padding_and_no_attention_mask = warn
        for module in replaced:
            del module.forward


def expert_product(module: nn.Module) -> Any:
    """A function that multiplies rows with the first expert of `module`; None where it holds no experts."""
    any_module: Any = module
    own = dict(module.named_parameters(recurse=False))
    if "SharedExperts" in type(module).__name__ and "gate_proj" in own:  # Inkling: all of them, for every token
        return None
    up = next((own[name] for name in ("gate_up_proj", "up_proj") if name in own), None)
    if up is not None and up.dim() == 3 and "down_proj" in own:
        transposed = bool(getattr(module, "is_transposed", up.shape[1] == own["down_proj"].shape[2]))
        return lambda rows: _stacked(rows, up[0], own["down_proj"][0], transposed)
    if hasattr(getattr(module, "mlp", None), "v1") and hasattr(module, "ffn_hidden_size"):
        width = any_module.ffn_hidden_size
        return lambda rows: [torch.mm(rows, tensor[:width].t()) for tensor in any_module.mlp.parameters()]
    if type(module).__name__.endswith("Experts") and not own and isinstance(module, nn.ModuleDict | nn.ModuleList):
        return next(iter(module.children()))
    return None


def _stacked(rows: torch.Tensor, up: torch.Tensor, down: torch.Tensor, transposed: bool) -> None:
    up, down = (up, down) if transposed else (up.t(), down.t())
    hidden = torch.mm(rows, up)
    torch.mm(hidden[:, : down.shape[0]], down)


def _through_one(module: nn.Module, top_k: int) -> Any:
    product = expert_product(module)
    own = [tensor for tensor in module.parameters() if tensor.dim() == 3]

    def forward(hidden: torch.Tensor, index: Any = None, *rest: Any, **more: Any) -> torch.Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        index = more.get("router_indices", index)
        # Llama 4 passes its rows once for every expert, and no choice: transformers computes them all, engines do not
        if isinstance(module, nn.ModuleDict):  # Switch: one expert per token, chosen by a mask over all of them
            count = flat.shape[0]
        else:
            count = index.numel() if isinstance(index, torch.Tensor) else flat.shape[0] // own[0].shape[0] * top_k
        product(flat[:1].expand(count, -1))
        return torch.zeros_like(hidden)

    return forward


def _is_gating(module: nn.Module) -> bool:
    return type(module).__name__ == "JetMoeTopKGating"


def _gate(module: nn.Module) -> Any:
    """JetMoE's router, which asks for the number of rows of each expert: all go to the first."""
    any_module: Any = module

    def forward(hidden: torch.Tensor) -> Any:
        rows = hidden.shape[0] * any_module.top_k
        places, sizes = torch.zeros(rows, dtype=torch.long), [rows] + [0] * (any_module.num_experts - 1)
        return places, places, hidden.new_zeros(rows), sizes, any_module.layer(hidden).float()

    return forward
