"""Nemotron-H as Puzzle made it smaller: block_configs says of each layer its kind, and what differs from the rest.

Not part of transformers: the architecture is that of NVIDIA's published model code, as vLLM 0.33.0 (nemotron_h.py) and
SGLang 0.5.23 (configs/nemotron_h.py) serve it: a layer is read from the config with its block's keys over it.
"""

from typing import Any

from sparsecalc.core.text import brief
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.nemotron_h import LINEAR, OLD_NAMES, PLAIN, SPARSE, ignore_of_all_kinds, nemotron_layer
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, blocks = config.size("hidden_size", required=True), config.sequence("block_configs")
    if not blocks or not all(isinstance(block, dict) for block in blocks):
        config.refuse("block_configs is missing", "It holds an object with block_type for each layer")
    count = config.optional_size("num_hidden_layers", default=None)
    if count is not None and count != len(blocks):
        config.note("conflicting-keys", f"num_hidden_layers is {count}; the {len(blocks)} block_configs are counted")
    layers = [_layer(config, hidden, place, block) for place, block in enumerate(blocks)]
    ignore_of_all_kinds(config)
    config.ignore("layers_block_type", "hybrid_override_pattern", "mtp_block_configs")
    note_mtp(config, as_deepseek=False)
    return body(config, layers, hidden=hidden, tied=False)


def _layer(config: Fields, hidden: int, place: int, block: dict[str, Any]) -> Layer:
    given = block.get("block_type")
    kind = OLD_NAMES.get(given, given) if isinstance(given, str) else None
    if kind not in (LINEAR, FULL, PLAIN, SPARSE):
        config.refuse(f"block_type of layer {place} is {brief(given)}", "Known are mamba, attention, mlp and moe")
    own = Fields({**config.config, **block}, config.model_type, where=f"block_configs {place}", nested=config.nested)
    layer = nemotron_layer(own, hidden, kind)
    config.ignore(*own.used)
    config.defaulted |= own.defaulted
    config.notes += [note for note in own.notes if note not in config.notes]
    if unread := sorted(set(block) - own.used - {"block_type"}):
        config.note("unread-keys", f"block_configs: keys that were not read and may change a cost: {', '.join(unread)}")
    return layer
