"""Some real layers of a model, at their real size, with random weights: what is small enough to be run.

The whole architecture is built on the meta device. Of every kind of layer some stay, at their own places; the others
pass on what they are given. What stays gets storage: buffers as transformers initialises them, weights drawn at random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from sparsecalc.core import units
from sparsecalc.core.errors import InputError, SparsecalcError
from sparsecalc.measure.architecture.meta_model import build
from sparsecalc.measure.machine.stopwatch import FLUSH_IN_CACHES, last_level_cache_bytes
from sparsecalc.model.spec import Layer, ModelSpec

STANDARD_DEVIATION = 0.02
"""Of random weights, as transformers initialises linear maps (initializer_range)."""
BLOCK = 2**20
"""Random elements that are drawn; larger tensors repeat them."""


class MemoryNeededError(SparsecalcError):
    """What was asked does not fit into the memory that may be used."""


@dataclass(frozen=True)
class Kind:
    """A kind of layer: how many the model has, and the places of those that were kept."""

    label: str
    count: int
    places: tuple[int, ...]
    layer: Layer


@dataclass(frozen=True)
class Slice:
    """A model of which only some layers compute."""

    model: Any
    kinds: tuple[Kind, ...]
    layers_name: str
    """Dotted name of the list of layers."""
    weight_bytes: int

    @property
    def layers(self) -> int:
        """Layers that compute."""
        return sum(len(kind.places) for kind in self.kinds)

    def layer(self, place: int) -> nn.Module:
        """The layer at a place."""
        return self.model.get_submodule(f"{self.layers_name}.{place}")


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
) -> Slice:
    """Up to `layers_per_kind` layers of each kind of `spec`, with tables, final norm and head, on `device`.

    None: as many as keep their weights out of the last-level cache from one step to the next. Fewer where more would
    not fit into `memory_limit_bytes`. Raises InputError where transformers cannot build the model or knows no such
    experts implementation, MemoryNeededError where one layer of each kind does not fit.
    """
    if spec.encoder_decoder:
        raise InputError(f"{spec.id} is an encoder-decoder", hint="Only decoders are measured")
    model: Any = build(config)
    name, layers = _layer_list(model, spec)
    wanted = layers_per_kind or _layers_beyond_cache(layers, spec, dtype, device)
    for per_kind in range(min(wanted, spec.num_hidden_layers), 0, -1):
        kept = {place for group in spec.layer_groups for place in group.positions[:per_kind]}
        kept |= _sources(layers, kept)
        needed = _bytes(model, dtype) - _bytes(layers, dtype) + _bytes([layers[i] for i in kept], dtype)
        if needed <= memory_limit_bytes:
            break
    else:
        raise MemoryNeededError(
            f"one layer of each kind of {spec.id}, with tables and head, takes {units.nbytes(needed)} of weights;"
            f" {units.nbytes(memory_limit_bytes)} may be used"
        )
    _leave_out(layers, kept)
    if experts_implementation:
        _choose_experts(model, experts_implementation)
    give_storage(model, device, dtype)
    kinds = tuple(_kinds(spec, kept))
    return Slice(model=model, kinds=kinds, layers_name=name, weight_bytes=_bytes(model, dtype))


def _layer_list(model: nn.Module, spec: ModelSpec) -> tuple[str, nn.ModuleList]:
    """The longest-sized outermost list of modules with a member per layer."""
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = module
    fitting = {name: layers for name, layers in found.items() if len(layers) == spec.num_hidden_layers}
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


def _kinds(spec: ModelSpec, kept: set[int]) -> Iterator[Kind]:
    """The kinds with labels that tell them apart."""
    labels: list[str] = []
    for group in spec.layer_groups:
        labels.append(group.layer.label)
        nth = labels.count(group.layer.label)
        label = group.layer.label + (f" #{nth}" if nth > 1 else "")
        places = tuple(place for place in group.positions if place in kept)
        yield Kind(label=label, count=group.count, places=places, layer=group.layer)


def _sources(layers: nn.ModuleList, kept: set[int]) -> set[int]:
    """Layers whose keys and values the kept ones read (Gemma 3n and 4)."""
    modules = (module for place in kept for module in layers[place].modules())
    found = {getattr(module, "kv_shared_layer_index", None) for module in modules}
    return {place for place in found if isinstance(place, int)}


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
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(f"experts implementation {name!r} cannot be had here: {first}") from error


def _tensors(modules: nn.Module | Sequence[nn.Module]) -> Iterator[torch.Tensor]:
    seen: set[int] = set()
    for module in [modules] if isinstance(modules, nn.Module) else modules:
        for tensor in module.parameters():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def _bytes(modules: nn.Module | Sequence[nn.Module], dtype: torch.dtype) -> int:
    """Bytes of the distinct parameters, those in bfloat16 as `dtype`."""
    return sum(tensor.numel() * _stored_as(tensor, dtype).itemsize for tensor in _tensors(modules))


def _stored_as(tensor: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
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
            holder[name] = moved.setdefault(id(old), torch.zeros(old.shape, dtype=_stored_as(old, dtype)))
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
                real = torch.empty(tensor.shape, dtype=_stored_as(tensor, dtype), device=device)
                made[id(tensor)] = nn.Parameter(_tiled(real, block), requires_grad=False)
            module._parameters[name] = made[id(tensor)]


def _tiled(real: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """`real` filled with repetitions of `block`; a vector of gains around 1."""
    flat = real.view(-1)
    source = (block + 1 if real.dim() == 1 else block).to(real.dtype)
    whole = flat.numel() // BLOCK * BLOCK
    flat[:whole].view(-1, BLOCK).copy_(source)
    flat[whole:] = source[: flat.numel() - whole]
    return real
