"""Every stored tensor of a meta model as a `Weights` part of its layer, with the FLOPs that the traces saw."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn

from sparsecalc.measure.architecture.expert_choice import expert_choice
from sparsecalc.measure.architecture.tensor_components import TensorComponents
from sparsecalc.measure.derive.layer_places import Place, layer_finder
from sparsecalc.measure.derive.traces import Traces
from sparsecalc.model.derived_parts import Weights

INSIDE_STATE_UPDATE = ("dt_proj",)
"""Maps that recurrent mixers multiply inside the state update."""
_EXPERT_NUMBER = re.compile(r"(?<=experts\.)(\w*?)\d+(?=\.)")


@dataclass(frozen=True)
class StoredWeights:
    """Weights, and the layer that they belong to (None: outside the layers)."""

    place: Place | None
    weights: Weights


def stored_weights(model: nn.Module, traces: Traces) -> list[StoredWeights]:
    """All parameters but lookup tables outside the layers and the LM head; equal neighbours are one part."""
    reader = _TensorReader(model, traces)
    stored: list[StoredWeights] = []
    for name, tensor in model.named_parameters():
        if not is_table(reader.components, name, tensor, reader.find(name)) and not _is_head(reader.components, name):
            stored.append(StoredWeights(reader.place(name), reader.weights(name, tensor)))
        stored += [StoredWeights(place, part) for place, part in reader.used_elsewhere(name, tensor)]
    return [_with_expert_flops(each, traces) for each in _merged(_stacked(stored))]


def is_table(components: TensorComponents, name: str, tensor: torch.Tensor, place: Place | None) -> bool:
    """Whether the parameter is a lookup table outside the layers, the tied one among them."""
    lookup = isinstance(components.modules[name.rpartition(".")[0]], nn.Embedding) or _is_head(components, name)
    return place is None and lookup and tensor.dim() == 2 and components.stored_as(name, tensor) == "embedding"


def _is_head(components: TensorComponents, name: str) -> bool:
    return components.head is not None and components.modules[name.rpartition(".")[0]] is components.head


def short_name(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` is `up_proj`; without its layer's prefix and its holder."""
    name = re.sub(r"^.*?\.\d+(\.|$)", "", name.removesuffix(".weight"))
    return name.partition(".")[2] or name or "layer"


class _TensorReader:
    """What is known about each parameter of one model."""

    def __init__(self, model: nn.Module, traces: Traces) -> None:
        self.model, self.traces = model, traces
        self.components, self.find = TensorComponents(model), layer_finder(model)

    def place(self, name: str) -> Place | None:
        """The layer that a tensor belongs to: by its name, or the only one that uses it (Zamba2's adapters)."""
        used, own = {place for place, other in self.traces.weights if other == name}, self.find(name)
        return own if own in used or len(used) != 1 else used.pop()

    def weights(self, name: str, tensor: torch.Tensor) -> Weights:
        """The part that stands for one stored tensor."""
        component = self.components.component(name)
        owner = self.components.modules[name.rpartition(".")[0]]
        per_token, per_context = self.traces.weights.get((self.place(name), name), (0, 0))
        base: dict[str, Any] = {"name": short_name(name), "component": component}
        if component != "state_space" and base["name"] in INSIDE_STATE_UPDATE:
            base["name"] = ".".join(name.split(".")[-3:-1])  # a map like any other, with a recurrent mixer's name
        if component == "routed_experts" and (choice := expert_choice(name, self.model)):
            k, count = choice
            if tensor.numel() % count == 0 and count > 1:
                base |= {"num_experts_per_tok": min(k, count), "num_experts": count}
        if isinstance(owner, nn.Conv1d | nn.Conv2d) and tensor.dim() > 2:
            base |= {"op": "conv", "rows": tensor.shape[0], "cols": prod(tensor.shape[1:]), "matrices": 1}
            return Weights(**base, flops_per_token=2 * tensor.numel())
        maps = isinstance(owner, nn.Linear) or type(owner).__name__ == "Conv1D" or base.get("num_experts", 1) > 1
        maps = maps or (component == "router" and not self.traces.ran)
        if tensor.dim() < 2 or name.endswith("bias") or not (per_token or per_context or maps):
            return Weights(**base, vectors=tensor.numel())
        if not self.traces.ran and "num_experts" not in base:
            per_token = 2 * tensor.numel()
        if component == "state_space" and not isinstance(owner, nn.Linear):
            base["op"] = "scan"
        shape = self._shape(name, tensor, base.get("num_experts", 1))
        return Weights(**base, **shape, flops_per_token=per_token, flops_per_context_token=per_context)

    def _shape(self, name: str, tensor: torch.Tensor, experts: int) -> dict[str, Any]:
        """Matrices of rows x cols, cols being what the input is multiplied over."""
        *several, rows, cols = tensor.shape
        matrices = prod(several)
        if tensor.dim() == 2 and experts > 1 and rows % experts == 0 and not _EXPERT_NUMBER.search(name):
            rows, matrices = rows // experts, experts  # all experts side by side in one matrix
        if self.traces.inner.get(name) == rows:
            rows, cols = cols, rows
        return {"rows": rows, "cols": cols, "matrices": matrices}

    def used_elsewhere(self, name: str, tensor: torch.Tensor) -> Iterable[tuple[Place | None, Weights]]:
        """Uses of the tensor in other layers than its own: the same weights again, stored once."""
        head: Any = self.components.head
        own = self.place(name)
        table = is_table(self.components, name, tensor, self.find(name))
        for (place, used), (per_token, per_context) in self.traces.weights.items():
            if used != name or tensor.dim() < 2 or (place == own and not table) or _is_head(self.components, name):
                continue
            if head is not None and getattr(head, "weight", None) is tensor:
                continue
            part = (
                self.weights(name, tensor)
                if not table
                else Weights(name=short_name(name), component="other", **self._shape(name, tensor, 1))
            )
            yield place, part.but(tied=True, flops_per_token=per_token, flops_per_context_token=per_context)


def _stacked(every: list[StoredWeights]) -> list[StoredWeights]:
    """Experts that are modules of their own become one stack."""
    stacks: dict[Any, StoredWeights] = {}
    for number, stored in enumerate(every):
        name, part = _EXPERT_NUMBER.sub(r"\1N", stored.weights.name), stored.weights
        if name == part.name or part.num_experts == 1:
            stacks[number] = stored
            continue
        key = (stored.place, name, part.rows, part.cols)
        stacks[key] = StoredWeights(
            stored.place, _sum(stacks[key].weights, part) if key in stacks else part.but(name=name)
        )
    return list(stacks.values())


def _merged(every: list[StoredWeights]) -> list[StoredWeights]:
    """Neighbours of the same shape and use (keys and values, gate and up) become one part with more matrices."""
    merged: list[StoredWeights] = []
    for stored in every:
        last = merged[-1] if merged else None
        if last and last.place == stored.place and _alike(last.weights, stored.weights):
            both = _sum(last.weights, stored.weights)
            merged[-1] = StoredWeights(stored.place, both.but(name=f"{last.weights.name}, {stored.weights.name}"))
        else:
            merged.append(stored)
    return merged


def _alike(one: Weights, other: Weights) -> bool:
    if one.op == "conv" or not one.matrices or other.matrices != 1 or one.matrices > 1 or one.num_experts > 1:
        return False
    return one.but(name="") == other.but(name="")


def _sum(one: Weights, other: Weights) -> Weights:
    return one.but(
        matrices=one.matrices + other.matrices,
        vectors=one.vectors + other.vectors,
        flops_per_token=one.flops_per_token + other.flops_per_token,
        flops_per_context_token=one.flops_per_context_token + other.flops_per_context_token,
    )


def _with_expert_flops(stored: StoredWeights, traces: Traces) -> StoredWeights:
    """Experts whose products no pass has shown: k of E matrices per token."""
    part = stored.weights
    if part.num_experts == 1 or not part.matrices or part.flops_per_token:
        return stored
    used = 2 * part.matrices * part.rows * part.cols * part.num_experts_per_tok // part.num_experts
    if traces.ran:
        traces.miss("FLOPs of experts: counted as k of E matrices per token")
    return StoredWeights(stored.place, part.but(flops_per_token=used))
