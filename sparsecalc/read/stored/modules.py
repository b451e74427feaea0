"""Ops as the modules that checkpoints name: `model.layers.3.self_attn.q_proj`, `lm_head`."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.model.spec import Layer, ModelSpec

EXPERT = "{e}"


class Module(NamedTuple):
    """One or several equal matrices of a checkpoint, under all names that released checkpoints give the module."""

    names: tuple[str, ...]
    kind: str
    """`Linear`, or `Embedding`; empty for a parameter that no scheme takes as either."""
    rows: int
    cols: int
    matrices: int = 1
    is_head: bool = False
    is_expert: bool = False
    stored_as: str = ""
    """The format in which the family's own checkpoint stores it whatever the scheme says; `plain`: unquantized."""


class ModuleNames:
    """The names of a family's modules, from data/module_names.json; `form` is the scheme's or its method's name."""

    def __init__(self, family: str, form: str = "") -> None:
        table = _table()
        own = table["families"].get(family, {})
        self._outside: dict[str, list[str]] = table["outside"]
        self._paths: list[str] = own.get("paths", table["paths"])
        self._layer: dict[str, dict[str, list[str]]] = table["layer"]
        self._own: dict[str, dict[str, list[str]]] = own.get("layer", {})
        self._parameters = frozenset(table["parameters"])
        self._linear_router: bool = own.get("router_is_linear", False)
        self._stored_as: dict[str, str] = own.get("stored_as", {}).get(form, {})

    def of_layer(self, op: Op, index: int) -> Iterator[Module]:
        """The modules of an op in one layer; experts as one module whose names hold `{e}`. None without matrices."""
        if not op.matrices or op.kind == "conv":
            return
        slots, paths = self._slots(op), [path.format(index) for path in self._paths]
        plain = op.name in self._parameters or (op.component == "router" and not self._linear_router)
        expert, stored_as = op.kind == "experts", self._stored_as.get(op.name, "")
        for slot in slots:
            names = tuple(f"{path}.{name}" for name in slot.split("|") for path in paths)
            count = op.matrices // len(slots)
            yield Module(
                names, "" if plain else "Linear", op.rows, op.cols, count, is_expert=expert, stored_as=stored_as
            )

    def outside(self, op: Op) -> Iterator[Module]:
        """The module of a table, head or projection outside the layers."""
        if not op.matrices:
            return
        names = self._outside.get(op.name, [f"model.{op.name}", op.name])
        kind = "Embedding" if op.kind == "lookup" else "" if op.name in self._parameters else "Linear"
        head, stored_as = op.component == "lm_head", self._stored_as.get(op.name, "")
        yield Module(tuple(names), kind, op.rows, op.cols, op.matrices, is_head=head, stored_as=stored_as)

    def _slots(self, op: Op) -> list[str]:
        """Names of equal parts of the op's matrices, relative to the layer."""
        for table in (self._own, self._layer):
            if slots := table.get(op.component, {}).get(op.name):
                return slots if op.matrices % len(slots) == 0 else slots[:1]
        return [op.name]


def layers_in_order(spec: ModelSpec) -> list[Layer]:
    """The layers as they follow each other."""
    places = {place: group.layer for group in spec.layer_groups for place in group.positions}
    return [places[place] for place in sorted(places)]


def ops_outside(spec: ModelSpec) -> list[Op]:
    """The ops of tables, final parts and the LM head."""
    parts = (*spec.tables, *spec.final, *((spec.head,) if spec.head else ()))
    return [op for part in parts for op in part.ops(Workload())]


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = read_data("module_names.json")
    return found
