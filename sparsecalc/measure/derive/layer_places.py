"""Which layer of a real model a module or a parameter belongs to."""

import re
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from sparsecalc.measure.architecture.model_inputs import text_config

_LENGTHS = ("num_hidden_layers", "num_layers", "n_layer", "encoder_layers", "decoder_layers", "num_decoder_layers")
"""Names under which configs say how many layers there are."""


class Place(NamedTuple):
    """Where a layer stands: `decoder` or `encoder`, and its position there."""

    stack: str
    position: int


def layer_finder(model: nn.Module) -> Callable[[str], Place | None]:
    """A function from the name of a module or parameter to the layer that it belongs to, if it does."""
    prefixes = _layer_lists(model)
    two_stacks = bool(text_config(model).is_encoder_decoder)

    def find(name: str) -> Place | None:
        for prefix in prefixes:
            if match := re.match(re.escape(prefix) + r"\.(\d+)(\.|$)", name):
                in_encoder = two_stacks and "encoder" in prefix.split(".")
                return Place("encoder" if in_encoder else "decoder", int(match.group(1)))
        return None

    return find


def _layer_lists(model: nn.Module) -> set[str]:
    """Names of the lists of layers: outermost lists of modules that are as long as the config says, or the largest.

    Lists that hold modules of the same classes are layers, too.
    """
    lists: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in lists):
            lists[name] = module
    lengths = {getattr(text_config(model), key, None) for key in _LENGTHS}
    chosen = {name for name, modules in lists.items() if len(modules) in lengths}
    if not chosen and lists:
        chosen = {max(lists, key=lambda name: sum(tensor.numel() for tensor in lists[name].parameters()))}
    classes = {type(layer) for name in chosen for layer in lists[name]}
    return chosen | {name for name, modules in lists.items() if any(type(layer) in classes for layer in modules)}
