"""llama.cpp's file types: which of ggml's types each tensor of a GGUF file gets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.data_files import read_data
from sparsecalc.read.number_formats import is_number_format, number_format

_SAME_NAME = {"f32": "fp32", "f16": "fp16"}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A matrix of a GGUF file; `matrices` of them lie in one tensor where they are experts or heads."""

    name: str
    rows: int
    cols: int
    matrices: int = 1
    layer: int | None = None
    """Its `blk.N`; None outside the layers."""


@dataclass(frozen=True, slots=True)
class GgufModel:
    """What the rules ask of a model."""

    layers: int
    experts: int
    heads_per_group: float
    """Query heads of the first layer for each key-value head; 0 where that layer has no attention."""
    falcon: bool = False
    is_70b: bool = False


@cache
def ggml_types() -> dict[str, tuple[int, int, int]]:
    """ggml's types by name: number in the header, elements and bytes of a block."""
    return {name: (entry[0], entry[1], entry[2]) for name, entry in read_data("ggml_types.json")["types"].items()}


@cache
def ggml_format(name: str) -> NumberFormat:
    """A ggml type as a number format: its blocks hold their own scales, so nothing is kept beside them."""
    if name == "nvfp4":
        return number_format(name).but(tensor_bytes=0)
    known = _SAME_NAME.get(name, name)
    if is_number_format(known):
        return number_format(known)
    _, elements, size = ggml_types()[name]
    return NumberFormat(id=name, bits=8 * size / elements, source="ggml")


@cache
def _rules() -> dict[str, Any]:
    found: dict[str, Any] = read_data("gguf_file_types.json")
    return found


@cache
def file_type_names() -> dict[str, str]:
    """Names and aliases of the file types, each with the name that llama.cpp gives it."""
    names = {}
    for name, entry in _rules()["file_types"].items():
        names.update(dict.fromkeys((name, *entry.get("aliases", ())), name))
    return names


def is_70b(family: str, model: "GgufModel") -> bool:
    """Whether llama.cpp takes the model for a 70B, whose attn_v is small enough for more bits."""
    layers = _rules()["models_of_type_70b"]["layers"].get(family)
    return layers == model.layers and model.heads_per_group > 1


def tensor_types(tensors: Sequence[GgufTensor], file_type: str, model: GgufModel) -> list[str]:
    """The ggml type of each tensor in a file of that type, in the order of `tensors` (as llama.cpp: by layer).

    Source: llama.cpp's llama_tensor_get_type; tables and source in data/gguf_file_types.json.
    """
    chooser = _Chooser(file_type, model, tensors)
    return [chooser.type_of(tensor) for tensor in tensors]


class _Chooser:
    """The rules of one file type, with the counters that llama.cpp keeps over the tensors in order."""

    def __init__(self, file_type: str, model: GgufModel, tensors: Iterable[GgufTensor]) -> None:
        self.name, self.model = file_type, model
        self.entry: dict[str, Any] = _rules()["file_types"][file_type]
        kinds = [_category(tensor.name) for tensor in tensors]
        self.tied = "output" not in kinds
        self.values = kinds.count("attn_v")
        self.seen: Counter[str] = Counter()

    def type_of(self, tensor: GgufTensor) -> str:
        """The type of the next tensor."""
        kept = _rules()["not_quantized"]
        for kind in ("f32", "f16"):
            if any(part in tensor.name for part in kept[kind]):
                return kind
        return fitting(self._wanted(tensor), tensor.cols)

    def _wanted(self, tensor: GgufTensor) -> str:
        category, default = _category(tensor.name), str(self.entry["type"])
        if category == "output" or (category == "embedding" and self.tied):
            return self._output(tensor, default)
        if category == "embedding":
            return str(self.entry.get("embedding", default))
        if "experts" in self.entry:
            return str(self.entry["experts"]) if tensor.matrices > 1 else default
        place = self.seen[category]
        self.seen[category] += 1
        found = next(
            (kind for when, kind in self.entry.get(category, ()) if self._holds(when, tensor, category, place)), default
        )
        return self._raised(category, str(found))

    def _output(self, tensor: GgufTensor, default: str) -> str:
        rules = _rules()
        if self.model.falcon or tensor.cols % ggml_types()[default][1]:
            return str(rules["output_of_odd_rows"])
        return str(self.entry.get("output", rules["output"]))

    def _raised(self, category: str, kind: str) -> str:
        """More bits that small matrices get whatever the file type."""
        raised = _rules()["raised"]
        if self.name in raised["not_for"] or category not in ("attn_v", "attn_k"):
            return kind
        if self.model.experts == 8:
            return str(raised["attn_kv_of_eight_experts"])
        return str(raised["attn_v_of_70b"].get(kind, kind)) if category == "attn_v" and self.model.is_70b else kind

    def _holds(self, when: str, tensor: GgufTensor, category: str, place: int) -> bool:
        total = self.values if category == "attn_v" else self.model.layers
        at = place if category == "attn_v" or self.model.experts <= 1 or tensor.layer is None else tensor.layer
        return all(_condition(word, at, total, place, self.model) for word in when.split())


def _condition(word: str, at: int, total: int, place: int, model: GgufModel) -> bool:
    """Whether a condition of a rule holds for layer `at` of `total`, the `place`-th tensor of its category."""
    eighth = total // 8
    return {
        "gqa4": model.heads_per_group >= 4,
        "experts4": model.experts >= 4,
        "experts8": model.experts == 8,
        "not_experts8": model.experts != 8,
        "falcon": model.falcon,
        "not_falcon": not model.falcon,
        "first_two": place < 2,
        "first_four": place < 4,
        "first_sixteenth": at < total // 16,
        "first_eighth": at < eighth,
        "first_eighth_seen": place < eighth,
        "middle": eighth <= at < 7 * total // 8,
        "more_bits": at < eighth or at >= 7 * total // 8 or (at - eighth) % 3 == 2,
    }[word]


def _category(name: str) -> str:
    """The kind of tensor that the rules speak of; empty where they have none."""
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    if name == "output.weight":
        return "output"
    if any(part in name for part in ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight")):
        return "attn_v"
    for part in ("attn_k.weight", "attn_q.weight", "attn_output.weight"):
        if part in name:
            return part.removesuffix(".weight")
    return next((part for part in ("ffn_up", "ffn_gate", "ffn_down") if part in name), "")


def fitting(kind: str, cols: int) -> str:
    """The type, or the one that llama.cpp takes where a row is no multiple of the type's block."""
    sizes = ggml_types()
    if cols % sizes[kind][1] == 0:
        return kind
    other = str(_rules()["fallback"]["types"].get(kind, "f16"))
    return "f16" if cols % sizes[other][1] else other
