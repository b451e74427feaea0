"""Models as GGUF files store them: tensor by tensor of a file's header, or by the rules of a file type."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from sparsecalc.core.notes import Note
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Op, OpFormats, StoredAs
from sparsecalc.core.precision import Precision
from sparsecalc.core.units import nbytes
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec, Stored, group_layers
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.file_types import (
    GgufModel,
    GgufTensor,
    fitting,
    ggml_format,
    ggml_types,
    is_70b,
    tensor_types,
)
from sparsecalc.read.stored.gguf_tensors import Slot, gguf_table, layer_slots, outside_slots
from sparsecalc.read.stored.modules import layers_in_order, ops_outside

Origin = Literal["config", "as published", "requested"]

NOTED_SHARE = 0.002
"""Share of a file beyond which bytes that no part of the model stands for are named."""


def as_file(spec: ModelSpec, family: str, tensors: dict[str, list[str]], total_bytes: int, name: str) -> ModelSpec:
    """The model as a GGUF file stores it: `tensors` are the names of each type, `total_bytes` those of all of them.

    What no op stands for (frequencies of a rotary embedding, layers for multi-token prediction) counts with the
    embedding table, so that the bytes of all weights are the file's.
    """
    types = {tensor: kind for kind, names in tensors.items() for tensor in names}
    usual = max(tensors, key=lambda kind: len(tensors[kind])) if tensors else "f32"

    def type_of(slot: Slot) -> str:
        known = next((types[own] for own in slot.names if own in types), None)
        return known or (types.get("token_embd.weight", usual) if slot.key[0] == "lm_head" else usual)

    stored = _stored(spec, family, type_of, name, "config")
    joint, apart = (any(part in tensor for tensor in types) for part in (".attn_kv_b.", ".attn_k_b."))
    if joint and not apart and stored.stored:
        stored = stored.but(stored=stored.stored.but(expanded_latents=True))
    return _with_bytes(stored, total_bytes)


def as_one_type(spec: ModelSpec, family: str, kind: str) -> ModelSpec:
    """The model with all matrices in one ggml type, as a config tells that names a type and no tensors."""
    return _stored(spec, family, lambda slot: fitting(kind, slot.cols), kind, "config")


def as_file_type(spec: ModelSpec, file_type: str, family: str = "", mtp_layers: int = 0) -> ModelSpec:
    """The model in one of llama.cpp's file types, tensor by tensor as its rules choose the type."""
    family = family or spec.model_type
    slots = _slots(spec, family)
    unique = list({slot.names[0]: slot.tensor() for slot in slots}.values())
    further = _mtp_tensors(spec, family, slots, mtp_layers)
    model = _rules_of(spec, family, mtp_layers if further else 0)
    chosen = tensor_types([*unique, *further], file_type, model)
    types = {tensor.name: kind for tensor, kind in zip([*unique, *further], chosen, strict=True)}
    stored = _stored(spec, family, lambda slot: types[slot.names[0]], file_type, "requested")
    if not further:
        return stored
    beside = sum(_tensor_bytes(tensor, types[tensor.name]) for tensor in further)
    return _with_bytes(stored, _weight_bytes(stored) + beside)


def _rules_of(spec: ModelSpec, family: str, mtp_layers: int) -> GgufModel:
    """What the rules of file types ask of the model."""
    layers = layers_in_order(spec)
    ops = [list(layer.ops(Workload())) for layer in layers]
    attending = [op for own in ops for op in own if op.kind == "attention"]
    first = [op for op in ops[0] if op.kind == "attention"]
    if not first and family in gguf_table()["head_count_kv_of_every_layer"]["families"]:
        first = attending
    per_group = first[0].heads / (first[0].kv_heads or 1) if first else 0
    experts = max((op.num_experts for own in ops for op in own if op.component == "routed_experts"), default=0)
    model = GgufModel(len(layers) + mtp_layers, experts, per_group, falcon=family == "falcon")
    return GgufModel(model.layers, experts, per_group, model.falcon, is_70b(family, model))


def _slots(spec: ModelSpec, family: str) -> list[Slot]:
    """All slots of the model, in llama.cpp's order: outside the layers, then layer by layer."""
    found = list(outside_slots(ops_outside(spec)))
    for index, layer in enumerate(layers_in_order(spec)):
        found += layer_slots(list(layer.ops(Workload())), layer, family, index)
    return found


def _mtp_tensors(spec: ModelSpec, family: str, slots: Sequence[Slot], count: int) -> list[GgufTensor]:
    """The matrices of the layers for multi-token prediction, where the family's files hold them: as the last layer."""
    beside = gguf_table()["mtp_layers"].get(family)
    if not beside or not count:
        return []
    layers, hidden = spec.num_hidden_layers, spec.hidden_size
    found = []
    for place in range(layers, layers + count):
        last = [slot.tensor() for slot in slots if slot.layer == layers - 1]
        for tensor in last:
            name = tensor.name.replace(f"blk.{layers - 1}.", f"blk.{place}.")
            found.append(GgufTensor(name, tensor.rows, tensor.cols, tensor.matrices, place))
        for name in beside:
            shape = (hidden, 2 * hidden) if name.endswith("eh_proj") else (spec.vocab_size, hidden)
            found.append(GgufTensor(f"blk.{place}.{name}.weight", *shape, 1, place))
    return found


def _tensor_bytes(tensor: GgufTensor, kind: str) -> int:
    return tensor.matrices * ggml_format(kind).matrix_bytes(tensor.rows, tensor.cols)


def _stored(spec: ModelSpec, family: str, type_of: Callable[[Slot], str], name: str, origin: Origin) -> ModelSpec:
    """The model with the formats that `type_of` gives its slots, layers regrouped where they differ."""
    layers, plain = layers_in_order(spec), number_format("fp32")
    formats = [
        _formats(layer_slots(list(layer.ops(Workload())), layer, family, index), type_of)
        for index, layer in enumerate(layers)
    ]
    outside = _formats(outside_slots(ops_outside(spec)), type_of)
    if spec.head and spec.tie_word_embeddings:
        outside += _tied(spec.head.ops(Workload()), dict(outside))
    groups = group_layers(layers, formats)
    return spec.but(
        layer_groups=groups, formats=outside, stored=Stored(scheme="gguf", name=name, plain=plain, origin=origin)
    )


def _tied(ops: Iterable[Op], known: dict[tuple[str, str], StoredAs]) -> OpFormats:
    """A tied head reads the table's format."""
    table = next((formats for (component, _), formats in known.items() if component == "embedding"), None)
    return tuple(((op.component, op.name), table) for op in ops if table and op.matrices)


def _formats(slots: Iterable[Slot], type_of: Callable[[Slot], str]) -> OpFormats:
    """The formats of each op of some slots."""
    by_key: dict[tuple[str, str], list[tuple[Slot, str]]] = {}
    for slot in slots:
        by_key.setdefault(slot.key, []).append((slot, type_of(slot)))
    return tuple((key, _shares(parts)) for key, parts in by_key.items())


def _shares(parts: Sequence[tuple[Slot, str]]) -> StoredAs:
    """How many matrices have which format; one format of mixed blocks where a matrix is split between types."""
    kinds = list(dict.fromkeys(kind for _, kind in parts))
    if len({(slot.rows, slot.cols) for slot, _ in parts}) == 1 and not _splits_one(parts):
        counts: Counter[str] = Counter()
        for slot, kind in parts:
            counts[kind] += slot.matrices
        return tuple((ggml_format(kind), count) for kind, count in counts.items())
    if len(kinds) == 1:
        return ((ggml_format(kinds[0]), 1),)
    return ((_mixed(parts, kinds), 1),)


def _splits_one(parts: Sequence[tuple[Slot, str]]) -> bool:
    """Whether an op's single matrix lies in several tensors (Kimi Linear's q, k and v; MLA's k_b and v_b)."""
    return len(parts) > 1 and parts[0][0].key[1] in ("kv_b_proj", "in_proj_qkv")


def _mixed(parts: Sequence[tuple[Slot, str]], kinds: Sequence[str]) -> NumberFormat:
    """A format whose bytes for the whole matrix are those of its parts; half a bit less, since bytes are rounded up."""
    held = sum(slot.matrices * ggml_format(kind).matrix_bytes(slot.rows, slot.cols) for slot, kind in parts)
    elements = sum(slot.elements for slot, _ in parts)
    return NumberFormat(
        id="+".join(kinds), bits=(8 * held - 0.5) / elements, kept_as_bits=32, vector_bits=32, source="ggml"
    )


def _weight_bytes(spec: ModelSpec) -> int:
    """Bytes of all weights as they are stored."""
    if spec.stored is None:
        raise ValueError("the model's storage is not known")
    plain = spec.stored.plain
    precision = Precision(weights=plain, kv_cache=plain, activations=plain, as_stored=spec.stored.name)
    return int(spec.ops(Workload()).sum(precision.weight_bytes))


def _with_bytes(spec: ModelSpec, total: int) -> ModelSpec:
    """The model with `total` bytes: what its ops do not hold counts with the embedding table, and is noted."""
    beside = total - _weight_bytes(spec)
    if not beside:
        return spec
    formats = tuple(
        (key, ((shares[0][0].but(tensor_bytes=beside), 1),)) if key == ("embedding", "embed_tokens") else (key, shares)
        for key, shares in spec.formats
    )
    notes = spec.notes
    if abs(beside) > NOTED_SHARE * total:
        text = (
            f"the file holds {nbytes(beside)} that belong to no part counted here (layers for multi-token prediction, "
        )
        notes += (Note(code="gguf-beside", text=text + "tables of its own): they count with the embedding's bytes"),)
    return spec.but(formats=formats, notes=notes)


def type_of_all(quantization: dict[str, Any]) -> str | None:
    """The one ggml type that a quantization_config of quant_method gguf names; None where it names none."""
    name = str(quantization.get("tensor_type")).lower()
    return name if quantization.get("quant_method") == "gguf" and name in ggml_types() else None


def tensors_of(quantization: dict[str, Any]) -> tuple[dict[str, list[str]], int, str] | None:
    """Names by type, bytes and file type, as the reader of GGUF files writes them into a quantization_config."""
    tensors, total = quantization.get("tensors"), quantization.get("bytes")
    if quantization.get("quant_method") != "gguf" or not isinstance(tensors, dict) or not isinstance(total, int):
        return None
    if not all(kind in ggml_types() and isinstance(names, list) for kind, names in tensors.items()):
        return None
    return tensors, total, str(quantization.get("file_type") or quantization.get("tensor_type") or "gguf")
