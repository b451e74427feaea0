"""Vision towers and prediction layers: what stands beside a text decoder, counted where it is asked for."""

from collections.abc import Callable
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.model.spec import ModelSpec
from sparsecalc.model.stored import StoredPart
from sparsecalc.read.fields import Fields
from sparsecalc.read.towers import encoders, gemma, kimi, llama4, qwen
from sparsecalc.read.towers.shapes import Pieces

Reader = Callable[[Fields, dict[str, Any], int], Pieces]

VISION: dict[str, tuple[str, Reader]] = {
    **dict.fromkeys(("gemma3", "gemma3_text"), ("siglip_vision_model", gemma.gemma3)),
    **dict.fromkeys(("gemma4", "gemma4_text"), ("gemma4_vision", gemma.gemma4)),
    "paligemma": ("siglip_vision_model", encoders.paligemma),
    "llava": ("", encoders.llava),
    **dict.fromkeys(("mistral3", "ministral3"), ("pixtral", encoders.mistral3)),
    "qwen2_vl": ("qwen2_vl_vision", qwen.qwen2_vl),
    "qwen2_5_vl": ("qwen2_5_vl_vision", qwen.qwen2_5_vl),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), ("qwen3_vl_vision", qwen.qwen3_vl)),
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe", "qwen3_5_text", "qwen3_5_moe_text"), ("qwen3_5_vision", qwen.qwen3_vl)),
    **dict.fromkeys(("llama4", "llama4_text"), ("llama4_vision_model", llama4.read)),
    "kimi_k25": ("kimi_k25_vision", kimi.read),
}
"""The default type of the tower, and what reads it, by the model_type of the whole model."""


def stored_parts(spec: ModelSpec, config: dict[str, Any], name: str, where: str = "") -> list[StoredPart]:
    """The part `name` that stands beside the text decoder `spec`, as `config` gives it; empty where it gives none.

    Raises InputError for a part whose structure is not known.
    """
    if name == "mtp":
        return _prediction_layers(spec, where)
    return _vision(spec, config, where) if name == "vision" else _audio(config, where)


def _vision(spec: ModelSpec, config: dict[str, Any], where: str) -> list[StoredPart]:
    given, model_type = config.get("vision_config"), str(config.get("model_type") or spec.model_type)
    if not isinstance(given, dict) or not given:
        return []
    if model_type not in VISION:
        text = f"the vision tower of {printable(model_type, 60)} is not known"
        raise InputError(text, where=where, hint=f"Known: those of {', '.join(sorted(VISION))}")
    default, reader = VISION[model_type]
    kind = str(given.get("model_type") or default or "clip_vision_model")
    kind = default if (default and kind in (model_type, model_type.removesuffix("_text"))) or not kind else kind
    kind = {"qwen3_vl_moe_vision": "qwen3_vl_vision", "qwen3_5_moe_vision": "qwen3_5_vision"}.get(kind, kind)
    if kind != default and (default or kind not in encoders.ENCODERS):
        raise InputError(f"the vision tower {printable(kind, 60)} of {model_type} is not known", where=where)
    fields = Fields(given, kind, where=f"{where}: vision_config" if where else "vision_config", nested=True)
    fields.defaults = read_data("tower_defaults.json")["towers"].get(kind, {})
    return reader(fields, config, spec.hidden_size).parts("vision")


def _audio(config: dict[str, Any], where: str) -> list[StoredPart]:
    if not isinstance(config.get("audio_config"), dict) or not config["audio_config"]:
        return []
    kind = printable(str(config["audio_config"].get("model_type") or config.get("model_type")), 60)
    raise InputError(f"the audio tower {kind} is not known", where=where, hint="Only vision towers are, and mtp")


def _prediction_layers(spec: ModelSpec, where: str) -> list[StoredPart]:
    """Each a decoder layer as the last is, a projection 2 H -> H and three norms (arXiv:2412.19437, section 2.2)."""
    count, hidden = spec.mtp_layers, spec.hidden_size
    if not count and all(note.code != "mtp-layers" for note in spec.notes):
        return []
    if not count:
        hint = "Known are those that are built as DeepSeek-V3's, where the config counts them"
        raise InputError(f"no prediction layers of known size in this {spec.model_type} config", where=where, hint=hint)
    pieces = Pieces()
    last = max(spec.layer_groups, key=lambda group: group.positions[-1]).layer
    for op in last.ops(Workload()):
        if op.params:
            pieces.add(op.name, op.matrices * count, op.rows, op.cols, op.vectors * count)
    pieces.add("eh_proj", count, hidden, 2 * hidden)
    pieces.vector("norms", 3 * hidden * count)
    return pieces.parts("mtp")
