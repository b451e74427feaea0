"""Some real layers of a model, at their real size, with random weights: what is small enough to be run.

The whole architecture is built on the meta device. Of every kind of layer some stay, at their own places; the others
pass on what they are given. What stays gets storage: buffers as transformers initialises them, weights drawn at random.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sparsecalc.core import units
from sparsecalc.core.components import Component
from sparsecalc.core.errors import InputError, SparsecalcError, reason_of
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.module_marks import MarkedModule
from sparsecalc.measure.architecture.random_weights import give_storage, stored_dtype
from sparsecalc.measure.architecture.tensor_components import ATTENTION, RECURRENT, TensorComponents
from sparsecalc.measure.machine.device import last_level_cache_bytes
from sparsecalc.measure.machine.stopwatch import FLUSH_IN_CACHES
from sparsecalc.measure.timing.layer_kinds import SampledKind, StepPart, layer_kinds
from sparsecalc.model.spec import ModelSpec


class MemoryNeededError(SparsecalcError):
    """What was asked does not fit into the memory that may be used."""


@dataclass(frozen=True)
class LayerSlice:
    """A model of which only some layers compute."""

    model: Any
    kinds: tuple[SampledKind, ...]
    layers_name: str
    """Dotted name of the list of layers."""
    weight_bytes: int

    @property
    def num_layers(self) -> int:
        """Layers that compute."""
        return sum(len(kind.places) for kind in self.kinds)


class PassedOver(nn.Module):  # type: ignore[misc]
    """Stands where a layer was left out: it returns its input in the form in which the layer before it answered."""

    def __init__(self, replaced: nn.Module, form: dict[str, Any]) -> None:
        super().__init__()
        self.replaced, self.form = (replaced,), form  # in a tuple, so that its parameters are not the model's

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(vars(self)["replaced"][0], name)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """`hidden_states`, with what else the last real layer returned."""
        last = self.form.get("output")
        return (hidden_states, *last[1:]) if isinstance(last, tuple) else hidden_states


def build_slice(
    config: dict[str, Any],
    spec: ModelSpec,
    device: torch.device,
    dtype: torch.dtype,
    memory_limit_bytes: int,
    layers_per_kind: int | None = None,
    experts_implementation: str | None = None,
) -> LayerSlice:
    """Up to `layers_per_kind` layers of each kind of `spec`, with tables, final norm and head, on `device`.

    None: as many as keep their weights out of the last-level cache from one step to the next. Fewer where more would
    not fit into `memory_limit_bytes`. Raises InputError where transformers cannot build the model or knows no such
    experts implementation, MemoryNeededError where one layer of each kind does not fit.
    """
    if spec.encoder_decoder:
        raise InputError(f"{spec.id} is an encoder-decoder", hint="Only decoders are measured")
    model: Any = meta_model(config)
    name, layers = _layer_list(model, spec)
    wanted = layers_per_kind or _layers_beyond_cache(layers, spec, dtype, device)
    kept = _places_that_fit(model, layers, spec, dtype, wanted, memory_limit_bytes)
    _leave_out(layers, kept)
    if experts_implementation:
        _choose_experts(model, experts_implementation)
    give_storage(model, device, dtype)
    kinds = tuple(layer_kinds(spec, kept))
    return LayerSlice(model=model, kinds=kinds, layers_name=name, weight_bytes=_bytes(model, dtype))


def _places_that_fit(
    model: nn.Module,
    layers: nn.ModuleList,
    spec: ModelSpec,
    dtype: torch.dtype,
    layers_per_kind: int,
    memory_limit_bytes: int,
) -> set[int]:
    """Places of up to `layers_per_kind` layers of each kind, and of layers that these need."""
    beside = _bytes(model, dtype) - _bytes(layers, dtype)
    for per_kind in range(min(layers_per_kind, spec.num_hidden_layers), 0, -1):
        kept = {place for group in spec.layer_groups for place in group.positions[:per_kind]}
        kept |= _sources(layers, kept)
        needed = beside + _bytes([layers[place] for place in kept], dtype)
        if needed <= memory_limit_bytes:
            return kept
    raise MemoryNeededError(
        f"one layer of each kind of {spec.id}, with tables and head, takes {units.nbytes(needed)} of weights;"
        f" {units.nbytes(memory_limit_bytes)} may be used"
    )


def _layer_list(model: nn.Module, spec: ModelSpec) -> tuple[str, nn.ModuleList]:
    """The largest outermost list of modules with a member per layer, and its name."""
    lists: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in lists):
            lists[name] = module
    fitting = {name: layers for name, layers in lists.items() if len(layers) == spec.num_hidden_layers}
    if not fitting:
        raise InputError(
            f"{spec.id}: no list of {spec.num_hidden_layers} layers in transformers' {type(model).__name__}"
        )
    name = max(fitting, key=lambda key: sum(tensor.numel() for tensor in fitting[key].parameters()))
    return name, fitting[name]


def _layers_beyond_cache(layers: nn.ModuleList, spec: ModelSpec, dtype: torch.dtype, device: torch.device) -> int:
    """Layers per kind whose weights together are FLUSH_IN_CACHES times the last-level cache."""
    one_each = _bytes([layers[group.positions[0]] for group in spec.layer_groups], dtype)
    return -(-FLUSH_IN_CACHES * last_level_cache_bytes(device) // max(1, one_each))


def _sources(layers: nn.ModuleList, kept: set[int]) -> set[int]:
    """Layers whose keys and values the kept ones read (Gemma 3n and 4)."""
    modules = (module for place in kept for module in layers[place].modules())
    told = {getattr(module, "kv_shared_layer_index", None) for module in modules}
    return {place for place in told if isinstance(place, int)}


def _leave_out(layers: nn.ModuleList, kept: set[int]) -> None:
    form: dict[str, Any] = {}

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        form["output"] = output

    for place in range(len(layers)):
        if place in kept:
            layers[place].register_forward_hook(remember)
        else:
            layers[place] = PassedOver(layers[place], form)


def _choose_experts(model: Any, name: str) -> None:
    try:
        model.set_experts_implementation(name)
    except (AttributeError, ValueError, KeyError) as error:
        raise InputError(f"experts implementation {name!r} cannot be used here: {reason_of(error)}") from error


def _tensors(modules: nn.Module | Sequence[nn.Module]) -> Iterator[torch.Tensor]:
    seen: set[int] = set()
    for module in [modules] if isinstance(modules, nn.Module) else modules:
        for tensor in module.parameters():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def _bytes(modules: nn.Module | Sequence[nn.Module], dtype: torch.dtype) -> int:
    """Bytes of the distinct parameters, those in bfloat16 as `dtype`."""
    return sum(tensor.numel() * stored_dtype(tensor, dtype).itemsize for tensor in _tensors(modules))


def marked_modules(layers: LayerSlice) -> list[MarkedModule[StepPart]]:
    """The layers that compute, and inside and outside of them the largest modules of one component each."""
    model, components = layers.model, TensorComponents(layers.model)
    marked = [
        MarkedModule(StepPart(component=component), module)
        for component, module in _parts("", model, components, layers.layers_name)
    ]
    for kind in layers.kinds:
        for place in kind.places:
            path = f"{layers.layers_name}.{place}"
            layer = model.get_submodule(path)
            marked.append(MarkedModule(StepPart(kind), layer))
            for name, child in layer.named_children():
                parts = _parts(f"{path}.{name}", child, components)
                marked += [MarkedModule(StepPart(kind, component), module) for component, module in parts]
    return marked


def _parts(
    path: str, module: nn.Module, components: TensorComponents, leave_out: str = ""
) -> Iterator[tuple[Component, nn.Module]]:
    """Modules inside `module`, itself among them, that hold parameters of one component."""
    if isinstance(module, PassedOver) or (leave_out and path == leave_out):
        return
    component = None if leave_out and leave_out.startswith(path) else _component(path, module, components)
    if component is not None and not isinstance(module, nn.ModuleList | nn.ModuleDict):
        yield component, module
        return
    for name, child in module.named_children():
        yield from _parts(f"{path}.{name}" if path else name, child, components, leave_out)


def _component(path: str, module: nn.Module, components: TensorComponents) -> Component | None:
    """The component of all that a module does; an attention's own norms and a mixer's are part of it."""
    names = [name for name, _ in module.named_parameters()]
    if not names:
        return None
    class_name = type(module).__name__
    if RECURRENT.search(class_name.removeprefix(components.prefix)):
        return "state_space"
    if ATTENTION.search(class_name.removeprefix(components.prefix)) and not re.search(r"Block|Layer", class_name):
        return "attention"
    held = {components.component(f"{path}.{name}") for name in names}
    return held.pop() if len(held) == 1 else None
