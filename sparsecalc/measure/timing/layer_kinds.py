"""Kinds of layers of which some are run, and the parts of a step that are timed."""

from collections.abc import Iterator
from dataclasses import dataclass

from sparsecalc.core.components import Component
from sparsecalc.model.spec import Layer, ModelSpec


@dataclass(frozen=True, eq=False)
class SampledKind:
    """A kind of layer: how many the model has, and the places of those that are run. Compared by identity."""

    label: str
    """Tells it apart from all others of its model."""
    layer: Layer
    count: int
    places: tuple[int, ...]

    @property
    def group(self) -> str:
        """The name by which ledgers and kernels know such layers; different kinds may share it."""
        return self.layer.label


def layer_kinds(spec: ModelSpec, kept: set[int]) -> Iterator[SampledKind]:
    """The kinds of a model whose layers at the places `kept` are run; later kinds with the same label are numbered."""
    labels: list[str] = []
    for group in spec.layer_groups:
        labels.append(group.layer.label)
        number = labels.count(group.layer.label)
        label = group.layer.label + (f" #{number}" if number > 1 else "")
        places = tuple(place for place in group.positions if place in kept)
        yield SampledKind(label=label, layer=group.layer, count=group.count, places=places)


@dataclass(frozen=True)
class StepPart:
    """One component of a layer of a kind, or all of it; without a kind, of everything outside the layers."""

    kind: SampledKind | None = None
    component: Component | None = None

    @property
    def name(self) -> str:
        """The component; `layer` or `rest` for all of them."""
        return self.component or ("layer" if self.kind else "rest")

    @property
    def label(self) -> str:
        """The kind's label; empty outside the layers."""
        return self.kind.label if self.kind else ""


REST = StepPart()
"""All that stands outside the layers."""
