"""What a quantization_config leaves in 16 bits: its lists of modules as components."""

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sparsecalc.core.components import Component
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import Layer

LISTS = ("ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers", "llm_int8_skip_modules")
"""Where the schemes name the modules that they leave alone."""

STEMS = (
    *("model.layers.{}.", "model.language_model.layers.{}.", "language_model.model.layers.{}.", "layers.{}."),
    *("backbone.layers.{}.", "model.decoder.layers.{}.", "transformer.h.{}.", "language_model.layers.{}."),
)
"""Paths of a decoder layer in released checkpoints."""

MODULES: dict[Component, tuple[str, ...]] = {
    "attention": ("self_attn.o_proj", "attn.wo_b", "attn.wo", "mixer.o_proj", "self_attn.out_proj", "attn.c_proj"),
    "dense_ffn": ("mlp.down_proj", "feed_forward.down_proj", "mixer.down_proj", "feed_forward.w2", "mlp.dense_4h_to_h"),
    "shared_experts": (
        *("mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj", "feed_forward.shared_expert.down_proj"),
        *("ffn.shared_experts.w2", "mixer.shared_experts.down_proj", "share_expert.down_proj"),
    ),
    "routed_experts": (
        *("mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2", "feed_forward.experts.0.down_proj"),
        *("ffn.experts.0.w2", "mixer.experts.0.down_proj", "experts.0.down_proj", "moe.experts.0.down_proj"),
    ),
    "state_space": ("linear_attn.out_proj", "mixer.out_proj", "mamba.out_proj", "mamba.in_proj"),
}
"""A module that stands for each component in a layer."""


def kept_layers(quantization: dict[str, Any], layers: Sequence[Layer]) -> dict[Component, tuple[int, int]]:
    """For each component: how many of the layers that have it are left alone, and how many there are."""
    patterns = [_matcher(entry) for key in LISTS for entry in _texts(quantization.get(key))]
    if not patterns or quantization.get("quant_algo") == "MIXED_PRECISION":  # there the list is that of one format
        return {}
    had: dict[Component, list[int]] = {part: [] for part in MODULES}
    seen: dict[int, set[Component]] = {}
    for index, layer in enumerate(layers):
        if id(layer) not in seen:
            seen[id(layer)] = {op.component for op in layer.ops(Workload()) if op.params}
        for part in seen[id(layer)] & had.keys():
            had[part].append(index)
    found = {}
    for part, indices in had.items():
        kept = 0
        for index in indices:
            names = _names(part, index)
            if part == "routed_experts" and "dense_ffn" in seen[id(layers[index])]:
                names = [name for name in names if ".mlp." not in name]  # Gemma 4's experts stand beside the MLP
            kept += any(pattern(name) for name in names for pattern in patterns)
        if kept:
            found[part] = (kept, len(indices))
    return found


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _names(part: Component, index: int) -> list[str]:
    return [stem.format(index) + module for stem in STEMS for module in MODULES[part]]


def _matcher(entry: str) -> Callable[[str], bool]:
    """One entry of such a list: a regular expression (re:...), a glob, or whole words of a dotted name."""
    if entry.startswith("re:"):
        try:
            pattern = re.compile(entry[3:])
        except re.error:
            return lambda name: False
        return lambda name: pattern.match(name) is not None
    if "*" in entry:
        return lambda name: fnmatchcase(name, entry)
    return lambda name: f".{entry.strip('.')}." in f".{name}."
