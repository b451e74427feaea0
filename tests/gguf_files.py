"""Small GGUF files of whole models, written by the gguf package."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFEndian, GGUFWriter

from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.stored.file_types import tensor_types
from sparsecalc.read.stored.gguf import _rules_of, _slots
from sparsecalc.read.stored.modules import layers_in_order, ops_outside

Tensors = dict[str, tuple[tuple[int, ...], str]]
"""Shape (longest last, as numpy has it) and ggml type by name."""


def model_tensors(spec: ModelSpec, family: str, file_type: str) -> Tensors:
    """All tensors of a model in one file type: its matrices, and what else it has as vectors of F32."""
    slots = {slot.names[0]: slot for slot in _slots(spec, family)}
    joined: Tensors = {}
    kinds = tensor_types([slot.tensor() for slot in slots.values()], file_type, _rules_of(spec, family, 0))
    types = dict(zip(slots, kinds, strict=True))
    rows: dict[str, int] = {}
    for slot in _slots(spec, family):
        rows[slot.names[0]] = rows.get(slot.names[0], 0) + slot.rows * slot.matrices
    for name, slot in slots.items():
        joined[name] = ((rows[name], slot.cols), types[name])
    for index, layer in enumerate(layers_in_order(spec)):
        own = sum(
            op.vectors + (op.matrices * op.rows * op.cols if op.kind == "conv" else 0) for op in layer.ops(Workload())
        )
        joined[f"blk.{index}.attn_norm.weight"] = ((own,), "f32")
    joined["output_norm.weight"] = ((sum(op.vectors for op in ops_outside(spec)),), "f32")
    return {name: entry for name, entry in joined.items() if entry[0] != (0,)}


def nbytes(tensors: Tensors) -> int:
    """Bytes of all tensors, by the gguf package's own table of sizes."""
    total = 0
    for shape, kind in tensors.values():
        elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind.upper()]]
        total += int(np.prod(shape)) // elements * size
    return total


def write_gguf(
    path: Path,
    architecture: str,
    meta: dict[str, Any],
    tensors: Tensors,
    *,
    big: bool = False,
    data: bool = False,
    more: dict[str, Any] | None = None,
    tokens: int = 0,
) -> Path:
    """A GGUF file with that metadata (keys without the architecture); its header only, or with zeros as `data`."""
    writer = GGUFWriter(path, architecture, endianess=GGUFEndian.BIG if big else GGUFEndian.LITTLE)
    for key, value in {**{f"{architecture}.{key}": value for key, value in meta.items()}, **(more or {})}.items():
        _add(writer, key, value)
    if tokens:
        writer.add_token_list([f"t{index}" for index in range(tokens)])
    for name, (shape, kind) in tensors.items():
        number = GGMLQuantizationType[kind.upper()]
        elements, size = GGML_QUANT_SIZES[number]
        stored = (*shape[:-1], shape[-1] // elements * size)
        if data:
            writer.add_tensor(name, np.zeros(stored, dtype=np.uint8), raw_dtype=number)
        else:
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if data:
        writer.write_tensors_to_file()
    else:
        writer.write_ti_data_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
