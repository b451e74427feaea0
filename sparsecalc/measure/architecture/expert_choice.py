"""How many of its experts a real model selects for each token, as its modules or its config tell."""

from typing import Any, NamedTuple

from torch import nn

from sparsecalc.measure.architecture.tensor_components import tensors

_TOP_K = ("top_k", "num_experts_per_tok", "moe_top_k", "topk", "num_selected_experts")
_EXPERTS_HELD = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "num_routed_experts")


class ExpertChoice(NamedTuple):
    """k of E experts, zero-compute experts left out of E."""

    num_experts_per_tok: int
    num_experts: int


def unselected(model: nn.Module) -> int | None:
    """Elements of routed experts that one token does not use: elements * (1 - k / E), layer by layer.

    None where neither the modules around the experts nor the config tell k and E.
    """
    modules, left_out = dict(model.named_modules()), 0
    for name, elements, component in tensors(model):
        if ".vision_moe." in name:  # ERNIE 4.5 VL: no text token is routed there
            left_out += elements
            continue
        if component != "routed_experts":
            continue
        choice = _by_modules(name, modules) or _by_config(model)
        if choice is None:
            return None
        k, count = choice
        left_out += elements - elements * min(k, count) // count
    return left_out


def expert_choice(name: str, model: nn.Module) -> ExpertChoice | None:
    """The choice that the routed experts' parameter `name` is part of; None where neither modules nor config tell."""
    return _by_modules(name, dict(model.named_modules())) or _by_config(model)


def stacked_experts(model: nn.Module) -> tuple[Any, ExpertChoice] | None:
    """The first module that holds its experts' matrices stacked, and its choice; None where there is none."""
    for name, module in model.named_modules():
        if hasattr(module, "gate_up_proj"):
            choice = expert_choice(f"{name}.gate_up_proj", model)
            return (module, choice) if choice else None
    return None


def _by_modules(name: str, modules: dict[str, nn.Module]) -> ExpertChoice | None:
    """What the nearest module around the parameter `name` knows, or its router."""
    path, k, count = name.rpartition(".")[0], None, None
    while path and (k is None or count is None):
        around = [modules[path], *(child for child in modules[path].children() if not isinstance(child, nn.Linear))]
        k = next((value for module in around if (value := _integer(module, _TOP_K))), k)
        count = next((value for module in around if (value := _integer(module, _EXPERTS_HELD))), count)
        path = path.rpartition(".")[0]
    return ExpertChoice(k, count) if k and count else None


def _by_config(model: nn.Module) -> ExpertChoice | None:
    """What the built model's own config says, where no module keeps it."""
    any_model: Any = model
    config = any_model.config.get_text_config(decoder=True)
    k, count = _integer(config, (*_TOP_K, "top_k_experts")), _integer(config, _EXPERTS_HELD)
    return ExpertChoice(k, count) if k and count else None


def _integer(holder: Any, names: tuple[str, ...]) -> int | None:
    values = (getattr(holder, name, None) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value), None)
