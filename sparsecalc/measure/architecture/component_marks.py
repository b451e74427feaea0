"""Where a step's time goes: marks before and after the modules that make up a layer, and what stands outside them."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sparsecalc.core.components import Component
from sparsecalc.measure.architecture.layer_slice import PassedOver, Slice
from sparsecalc.measure.architecture.meta_model import ATTENTION, RECURRENT, Rule

Key = tuple[str, str]
"""A kind of layer ("" outside the layers) and a component, or `layer` for the whole layer."""


@dataclass(frozen=True)
class Unit:
    """A module whose time counts for one component."""

    key: Key
    module: nn.Module


def units(found: Slice) -> list[Unit]:
    """The largest modules of one component each, and the layers themselves."""
    model, rule = found.model, Rule(found.model)
    of_place = {place: kind.label for kind in found.kinds for place in kind.places}
    result = [Unit(("", component), module) for component, module in _parts("", model, rule, found.layers_name)]
    for place, label in of_place.items():
        layer = found.layer(place)
        result.append(Unit((label, "layer"), layer))
        for name, child in layer.named_children():
            path = f"{found.layers_name}.{place}.{name}"
            result += [Unit((label, component), module) for component, module in _parts(path, child, rule)]
    return result


def _parts(path: str, module: nn.Module, rule: Rule, leave_out: str = "") -> Iterator[tuple[Component, nn.Module]]:
    """Modules inside `module`, itself among them, that hold parameters of one component."""
    if isinstance(module, PassedOver) or (leave_out and path == leave_out):
        return
    component = None if leave_out and leave_out.startswith(path) else _component(path, module, rule)
    if component is not None and not isinstance(module, nn.ModuleList | nn.ModuleDict):
        yield component, module
        return
    for name, child in module.named_children():
        yield from _parts(f"{path}.{name}" if path else name, child, rule, leave_out)


def _component(path: str, module: nn.Module, rule: Rule) -> Component | None:
    """The component of all that a module does; an attention's own norms and a mixer's are part of it."""
    names = [name for name, _ in module.named_parameters()]
    if not names:
        return None
    kind = type(module).__name__
    if RECURRENT.search(kind.removeprefix(rule.prefix)):
        return "state_space"
    if ATTENTION.search(kind.removeprefix(rule.prefix)) and not re.search(r"Block|Layer", kind):
        return "attention"
    components = {rule.component(f"{path}.{name}") for name in names}
    return components.pop() if len(components) == 1 else None


class Marks:
    """Hooks that note when each unit starts and ends; on CUDA with events, which a captured graph records too."""

    def __init__(self, found: list[Unit], device: torch.device) -> None:
        self.on_cuda, self.on_mps = device.type == "cuda", device.type == "mps"
        self.starts: dict[int, Any] = {}
        self.spans: list[tuple[Key, Any, Any]] = []
        self.hooks = []
        for index, unit in enumerate(found):
            self.hooks.append(unit.module.register_forward_pre_hook(self._start(index), prepend=True))
            self.hooks.append(unit.module.register_forward_hook(self._end(index, unit.key)))

    def clear(self) -> None:
        """Forget the spans of the step before; call it where the step starts."""
        self.spans.clear()

    def seconds(self) -> dict[Key, float]:
        """Seconds of the last step by unit, added up over the modules of the same key."""
        found: dict[Key, float] = {}
        for key, start, end in self.spans:
            found[key] = found.get(key, 0.0) + (start.elapsed_time(end) / 1e3 if self.on_cuda else end - start)
        return found

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self.hooks:
            hook.remove()

    def _now(self) -> Any:
        if self.on_cuda:
            event = torch.cuda.Event(enable_timing=True, external=True)
            event.record()
            return event
        if self.on_mps:
            torch.mps.synchronize()
        return time.perf_counter()

    def _start(self, index: int) -> Any:
        def start(module: nn.Module, args: Any) -> None:
            self.starts[index] = self._now()

        return start

    def _end(self, index: int, key: Key) -> Any:
        def end(module: nn.Module, args: Any, output: Any) -> None:
            self.spans.append((key, self.starts[index], self._now()))

        return end
