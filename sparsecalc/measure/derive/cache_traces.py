"""What each layer's part of a cache holds, told from the caches that two prompts of different lengths leave."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sparsecalc.measure.architecture.cache_tensors import cache_tensors, holds_tokens
from sparsecalc.measure.derive.layer_places import Place, layer_finder

PROMPTS = (12, 40)
"""Lengths of the two prompts. verify counts at other lengths."""
_ELEMENTWISE = 2
"""Dimensions of a state (batch, channels) that nothing is multiplied with."""
Miss = Callable[[str], None]
"""Called with a description of whatever cannot be explained."""


@dataclass
class HeldCache:
    """Elements that a layer's part of the cache holds for one sequence."""

    per_token: int = 0
    window: int | None = None
    index_per_token: int = 0
    state: int = 0
    contracted: bool = True
    """Whether a state update contracts over the state instead of working elementwise."""
    fp32: bool = False
    """Whether the state is stored in FP32."""
    conv_state: int = 0

    def add(self, name: str, early: torch.Tensor | None, late: torch.Tensor, window: int | None, miss: Miss) -> None:
        """One more tensor of this part, as it was after either prompt."""
        if holds_tokens(name):
            self._add_tokens(name, early, late, window, miss)
        elif "conv" in name and "state" in name:
            self.conv_state += late.numel()
        elif "state" in name:
            self.state += late.numel()
            self.contracted = late.dim() > _ELEMENTWISE
            self.fp32 = late.dtype == torch.float32

    def _add_tokens(
        self, name: str, early: torch.Tensor | None, late: torch.Tensor, window: int | None, miss: Miss
    ) -> None:
        if not late.numel():
            window = None
        growth = growth_per_token(early, late, window) if late.numel() else 0
        if growth is None:
            miss(f"growth of the cache's {name}")
        elif "index" in name:
            self.index_per_token += growth
        else:
            self.per_token, self.window = self.per_token + growth, window


def growth_per_token(early: torch.Tensor | None, late: torch.Tensor, window: int | None) -> int | None:
    """Elements per token; None where the tensor does not grow along its second last dimension as the prompts do.

    A filled window of W tokens is kept as W - 1, to which the next token is added.
    """
    if late.dim() < 2 or early is None:
        return None
    expected = [min(length, window - 1) if window else length for length in PROMPTS]
    if [early.shape[-2], late.shape[-2]] != expected:
        return None
    return late.numel() // late.shape[-2]


def held_caches(model: nn.Module, early: Any, late: Any, miss: Miss) -> dict[Place, HeldCache]:
    """Each layer's part of the cache; empty where the forward pass leaves none."""
    if late is None:
        return {}
    places = _places_of_parts(model)
    if not getattr(late, "layers", None):
        return _equal_shares(late, list(dict.fromkeys(places.values())), miss)
    order = list(dict.fromkeys(places.values()))
    if not order:
        miss("the cache: it belongs to no layer")
        return {}
    held: dict[Place, HeldCache] = {}
    for index, part in enumerate(late.layers):
        place = places.get(index, order[index % len(order)])  # layers that run in cycles keep a cache for each cycle
        earlier, window = dict(cache_tensors(early.layers[index])), getattr(part, "sliding_window", None)
        mine = held.setdefault(place, HeldCache())
        for name, tensor in cache_tensors(part):
            mine.add(name, earlier.get(name), tensor, window, miss)
    return held


def _places_of_parts(model: nn.Module) -> dict[int, Place]:
    """Which layer each part of the cache belongs to: what the layers' modules say, else the order."""
    find = layer_finder(model)
    by_index: dict[int, Place] = {}
    places: list[Place] = []
    for name, module in model.named_modules():
        place = find(name)
        if place is None or place.stack != "decoder":
            continue
        places += [place] if place not in places else []
        index = vars(module).get("layer_idx")
        if isinstance(index, int):
            by_index.setdefault(index, place)
    return by_index or dict(enumerate(places))


def _equal_shares(cache: Any, places: list[Place], miss: Miss) -> dict[Place, HeldCache]:
    """A cache that is not kept by layer: equal shares, where they are equal."""
    held: dict[Place, HeldCache] = {}
    for name, tensor in cache_tensors(cache):
        if not places or tensor.numel() % len(places):
            miss(f"the cache's {name}")
            continue
        for place in places:
            mine = held.setdefault(place, HeldCache(contracted=False))
            mine.state += tensor.numel() // len(places)
            mine.fp32 = mine.fp32 or tensor.dtype == torch.float32
    return held
