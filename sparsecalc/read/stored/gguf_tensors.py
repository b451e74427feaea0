"""Ops as the tensors of GGUF files: `blk.3.attn_q.weight`, `output.weight`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sparsecalc.core.ops import Op
from sparsecalc.data_files import read_data
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.stored.file_types import GgufTensor

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A part of an op's matrices: the names that its tensor may have, and the shape of what the op keeps there."""

    key: Key
    names: tuple[str, ...]
    rows: int
    cols: int
    matrices: int
    layer: int | None = None

    @property
    def elements(self) -> int:
        """Elements of the part."""
        return self.rows * self.cols * self.matrices

    def tensor(self) -> GgufTensor:
        """The part as the tensor that llama.cpp writes today."""
        return GgufTensor(self.names[0], self.rows, self.cols, self.matrices, self.layer)


@cache
def gguf_table() -> dict[str, Any]:
    """data/gguf_tensors.json."""
    found: dict[str, Any] = read_data("gguf_tensors.json")
    return found


def layer_slots(ops: Sequence[Op], layer: Layer, family: str, index: int) -> Iterator[Slot]:
    """The slots of all ops of layer `index` that hold matrices."""
    for op in ops:
        if not op.matrices or op.kind == "conv":
            continue
        names = _names(op, family)
        parts = list(_parts(op, layer, len(names)))
        for part, (rows, cols, matrices) in zip(names, parts, strict=True):
            full = tuple(f"blk.{index}.{name}.weight" for name in part.split("|"))
            yield Slot((op.component, op.name), full, rows, cols, matrices, index)


def outside_slots(ops: Sequence[Op]) -> Iterator[Slot]:
    """The slots of what lies outside the layers, but for a tied head."""
    for op in ops:
        if op.matrices and not op.tied:
            names = gguf_table()["outside"].get(op.name, [op.name])
            full = tuple(f"{name}.weight" for name in names[0].split("|"))
            yield Slot((op.component, op.name), full, op.rows, op.cols, op.matrices)


def _names(op: Op, family: str) -> list[str]:
    table = gguf_table()
    fused = [table["fused_qkv"]] if family in table["families_with_fused_qkv"] else []
    for known in (table["families"].get(family, {}), *fused, table["layer"]):
        if found := known.get(op.component, {}).get(op.name):
            names: list[str] = found
            return names
    return [op.name]


def _parts(op: Op, layer: Layer, count: int) -> Iterator[tuple[int, int, int]]:
    """Rows, cols and matrices of each of an op's `count` tensors."""
    if op.name == "kv_b_proj":
        latent = next(mixer for mixer in layer.mixers if isinstance(mixer, Mla))
        yield op.cols, latent.qk_nope_head_dim, latent.num_attention_heads
        yield latent.v_head_dim, op.cols, latent.num_attention_heads
        return
    for place in range(count):
        if op.matrices % count == 0:
            yield op.rows, op.cols, op.matrices // count
        else:
            yield op.rows * op.matrices // count + (op.rows * op.matrices % count if place == 0 else 0), op.cols, 1
