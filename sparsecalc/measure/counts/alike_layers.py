"""Run one layer of each kind in a forward pass on meta; the layers that are like it repeat what it did.

Two layers are alike where their modules have the same classes, parameters and settings, the config's lists say the
same of them, they are called with tensors of the same shapes, and what the cache holds for them looks the same. Nothing
on meta has values, so that such a layer can only do once more what the first one did: as many products, an output of
the same shape, and the same change of its own part of the cache. A layer that changed anything else is not repeated.
"""

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import torch
from torch import nn

_PLACES = ("layer_idx", "layer_id", "layer_index", "layer_number")
"""Settings that say where a layer is, not what it is."""


class HasFlops(Protocol):
    """Anything that adds up FLOPs during a forward pass."""

    flops: int


@dataclass
class _Run:
    """What the first layer of a kind did."""

    name: str
    output: Any
    flops: int
    held: dict[str, Any]
    """Its part of the cache afterwards."""


class Repeats:
    """The layers that were run, and how many layers each of them stands for."""

    def __init__(self, tally: HasFlops) -> None:
        self.tally = tally
        self.times: dict[str, int] = {}
        self.really: dict[str, int] = {}
        """How often a layer itself was run: more than once in a looped model."""
        self._runs: dict[Hashable, _Run] = {}

    def of(self, name: str) -> Fraction:
        """How many runs each run of the module `name` stands for."""
        while name:
            if name in self.times:
                return Fraction(self.times[name], self.really[name])
            name = name.rpartition(".")[0]
        return Fraction(1)

    def forward(self, name: str, layer: nn.Module, place: int, kind: Hashable) -> Callable[..., Any]:
        """A forward for `layer` that runs only where no layer like it has run."""
        run = layer.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            cache = next((given for given in (*args, *kwargs.values()) if _is_cache(given)), None)
            mine = cache.layers[place] if cache is not None and place < len(cache.layers) else None
            key = (kind, _look((args, kwargs)), _look(vars(mine)) if mine is not None else None, type(mine))
            if earlier := None if any(map(_is_pair, kwargs.values())) else self._runs.get(key):
                self.times[earlier.name] += 1
                self.tally.flops += earlier.flops
                if mine is not None:
                    vars(mine).update({key: copy.copy(value) for key, value in earlier.held.items()})
                return earlier.output
            flops, rest = self.tally.flops, _rest(cache, place)
            output = run(*args, **kwargs)
            self.times[name] = self.times.get(name, 0) + 1
            self.really[name] = self.really.get(name, 0) + 1
            made = mine is None and cache is not None and place < len(cache.layers)  # in the forward pass itself
            if _rest(cache, place) == rest and not made:
                held = dict(vars(mine)) if mine is not None else {}
                self._runs[key] = _Run(name, output, self.tally.flops - flops, held)
            return output

        return forward


@contextmanager
def repeated_layers(model: nn.Module, config: Any, tally: HasFlops) -> Iterator[Repeats]:
    """Within the block, layers of `model` that are alike are run once."""
    repeats, replaced = Repeats(tally), []
    for name, layer, position in _layers(model):
        place = _place(layer, position)
        if place is not None:
            layer.forward = repeats.forward(name, layer, place, (_kind(layer), _said(config, position)))
            replaced.append(layer)
    try:
        yield repeats
    finally:
        for layer in replaced:
            del layer.forward


def _layers(model: nn.Module) -> list[tuple[str, nn.Module, int]]:
    """Members of the outermost lists of modules; none where layers share modules, whose counts have one name only."""
    layers: list[tuple[str, nn.Module, int]] = []
    lists: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in lists):
            lists.append(name)
            layers += [(f"{name}.{position}", layer, position) for position, layer in enumerate(module)]
    inner = [id(module) for _, layer, _ in layers for module in layer.modules()]
    return layers if len(inner) == len(set(inner)) else []


def _place(layer: nn.Module, position: int) -> int | None:
    """The layer's index in the cache; None where its modules disagree about it."""
    told = {vars(module)["layer_idx"] for module in layer.modules() if isinstance(vars(module).get("layer_idx"), int)}
    return position if not told else told.pop() if len(told) == 1 else None


def _kind(layer: nn.Module) -> Hashable:
    """Classes, parameters, buffers and settings of all its modules."""
    return tuple(
        (name, type(module), _look(module._parameters), _look(module._buffers), _settings(module))
        for name, module in layer.named_modules()
    )


def _settings(module: nn.Module) -> Hashable:
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    given = {k: v for k, v in vars(module).items() if k[0] != "_" and k not in _PLACES and isinstance(v, plain)}
    return _look(given)


def _said(config: Any, position: int) -> Hashable:
    """The entries for this layer in the config's per-layer lists."""
    count = getattr(config, "num_hidden_layers", None)
    lists = {k: v for k, v in vars(config).items() if isinstance(v, list | tuple) and len(v) == count}
    return tuple((key, _look(values[position])) for key, values in lists.items() if position < len(values))


def _is_cache(given: Any) -> bool:
    return isinstance(getattr(given, "layers", None), list)


def _is_pair(given: Any) -> bool:
    """Whether it is a decoder's cache with a part for the source, which a layer changes too."""
    return getattr(given, "cross_attention_cache", None) is not None


def _rest(cache: Any, place: int) -> Hashable:
    """Everything in a cache but the part at `place`."""
    if cache is None:
        return None
    others = [(type(layer), _look(vars(layer))) for index, layer in enumerate(cache.layers) if index != place]
    return tuple(others), _look({key: value for key, value in vars(cache).items() if key != "layers"})


def _look(value: Any) -> Hashable:
    """What identifies a value on meta: shapes of tensors, plain values, and types of anything else."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape)
    if isinstance(value, dict):
        return tuple((str(key), _look(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(_look(inner) for inner in value)
    if value is None or isinstance(value, bool | int | float | str):
        return type(value).__name__, value
    return type(value).__qualname__
