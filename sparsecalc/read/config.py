"""The way in: a config dictionary becomes a `ModelSpec`, by the reader that is named after its model_type."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec, group_layers
from sparsecalc.read.architectures import as_named, check_experts, class_of, other_family
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.quantization import stored_formats

ALIASES = {
    **dict.fromkeys(("kimi_k2", "kimi_k25", "kimi_vl"), "deepseek_v3"),
    "deepseek-v3": "deepseek_v3",
    "deepseek_ref": "deepseek_v4",
    "mistral4": "deepseek_v3",
    "stablelm_epoch": "stablelm",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "internlm": "internlm2",
    "minimax_m1": "minimax_text_01",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    **dict.fromkeys(("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text", "qwen2_5_omni_text"), "qwen2"),
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_omni_moe_text": "qwen3_moe",
    "glm4v_moe_text": "glm4_moe",
    "ernie4_5_moe_vl": "ernie4_5_vl_moe_text",
    "step3p7": "step3p5",
    "phi3_v": "phi3",
    "phi4mm": "phi4_multimodal",
    **dict.fromkeys(("Yi", "aquila", "xverse", "skywork", "llava_llama"), "llama"),
    "llava_mistral": "mistral",
    "llava_qwen": "qwen2",
}
"""model_types that are another family by structure."""

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal configs keep the language model."""

NOT_A_PART = ("quantization_config", "compression_config", "generation_config")
"""Keys named like a part of a multimodal model that are none."""

BESIDE_TEXT = (
    *("vision_config", "audio_config", "speech_config", "visual", "img_processor", "embd_layer", "audio_processor"),
    *("vision_lora", "speech_lora", "mm_vision_tower", "mm_hidden_size", "mm_projector_type"),
)
"""What flat multimodal configs hold beside the language model's own keys."""

NOT_IN_TRANSFORMERS = (
    *("grok_1", "arctic", "hunyuan", "internlm2", "minicpm", "baichuan", "chatglm"),
    *("deepseek", "bailing_moe", "bailing_moe_v2", "minimax_text_01", "phi4_multimodal"),
    *("exaone", "mimo", "nemotron_nas", "qwen"),
)
"""Families that are counted by formula only: transformers lacks them, or does not build their text part alone."""

LONGEST_MODEL_TYPE = 60


def families() -> list[str]:
    """All model_types that have a reader, without the aliases."""
    folder = Path(__file__).parent / "families"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def _readers() -> dict[str, str]:
    """Every known model_type with the family that reads it."""
    return {**{family: family for family in families()}, **ALIASES}


def _module(name: str) -> ModuleType | None:
    if not name.isidentifier() or name.startswith("_") or len(name) > LONGEST_MODEL_TYPE:
        return None
    path = Path(__file__).parent / "families" / f"{name}.py"
    return import_module(f"sparsecalc.read.families.{name}") if path.is_file() else None


def read_config(config: Any, *, model_id: str, where: str = "") -> ModelSpec:
    """A Hugging Face config as a `ModelSpec`.

    Raises InputError, with one clear line, for anything that is not a config of a known family with values in range.
    """
    if not isinstance(config, dict):
        kind = {"NoneType": "null", "list": "a list", "str": "a string"}.get(type(config).__name__, "a number")
        raise InputError(f"a model config is a JSON object, this is {kind}", where=where)
    text, model_type, notes = _text_config(config)
    family, module = _reader(model_type, where)
    fields = Fields(text, family, where=where, nested=_text_part(config) is not None)
    try:
        body = module.read(fields)
        check_experts(body, text, fields)
        body = as_named(body, text, fields, named := class_of(config))
        notes += other_family(named, str(config.get("model_type") or model_type), family, _readers())
        stored = stored_formats(text.get("quantization_config") or text.get("quantization"), fields, body.layers)
        return ModelSpec(
            id=model_id,
            model_type=model_type,
            hidden_size=body.hidden_size,
            vocab_size=body.vocab_size,
            tie_word_embeddings=body.tie_word_embeddings,
            tables=body.tables,
            layer_groups=group_layers(body.layers),
            final=body.final,
            head=body.head,
            notes=(*notes, *fields.finish(), *_mtp_note(fields, body)),
            quantization=stored,
            mtp_layers=fields.mtp_layers,
            checked_by="formula" if family in NOT_IN_TRANSFORMERS else "transformers",
        )
    except ValueError as error:
        raise InputError(str(error), where=where, hint="Check the config") from error


def _text_config(config: dict[str, Any]) -> tuple[dict[str, Any], Any, list[Note]]:
    """The language model's own config, its model_type, and notes on what stands beside it."""
    outer, text = config, config
    notes: list[Note] = []
    while (key := _text_part(text)) is not None:
        parts = (name for name in text if name.endswith("_config") and name not in (key, *NOT_A_PART))
        notes += _multimodal_note(str(text.get("model_type", "")), key, sorted(name for name in parts if text[name]))
        kept = ("tie_word_embeddings", "quantization_config")
        inherited: dict[str, Any] = {name: text[name] for name in kept if name in text}
        notes += _tie_note(inherited.get("tie_word_embeddings"), text[key].get("tie_word_embeddings"), key)
        outer, text = text, {**inherited, **text[key]}
    beside = sorted(name for name in BESIDE_TEXT if text.get(name))
    if beside:
        notes += _multimodal_note(str(text.get("model_type", "")), "the text decoder", beside)
        text = {name: value for name, value in text.items() if name not in BESIDE_TEXT}
    return text, text.get("model_type") or _implied_type(outer), notes


def _reader(model_type: Any, where: str) -> tuple[str, ModuleType]:
    """The family that reads a model_type. Raises InputError where there is none."""
    if not model_type:
        raise InputError("model_type is missing", where=where, hint="It names the architecture, as in config.json")
    if not isinstance(model_type, str):
        raise InputError(f"model_type is {brief(model_type)}, not a string", where=where)
    family = ALIASES.get(model_type, model_type).replace("-", "_")
    if (module := _module(family)) is not None:
        return family, module
    hint = "Known families: sparsecalc models --families" + did_you_mean(model_type, [*families(), *ALIASES])
    hint += f"{'' if hint.endswith('?') else '.'} One that transformers has: verify or import --from-architecture"
    raise InputError(f"unknown model_type {brief(model_type)}", where=where, hint=hint)


def _mtp_note(fields: Fields, body: Body) -> list[Note]:
    """Layers for multi-token prediction, with their size: the last decoder layer, 2 H * H and three norms, each."""
    if not fields.mtp_layers:
        return []
    layer, hidden = Ledger(body.layers[-1].ops(Workload())), body.hidden_size
    size = fields.mtp_layers * (layer.total("params") + 2 * hidden * hidden + 3 * hidden)
    text = f"{fields.mtp_layers} multi-token-prediction layer(s) of {size:,} parameters are not counted"
    return [Note(code="mtp-layers", text=f"{text}; a checkpoint may add copies of the embedding and the LM head")]


def _text_part(config: dict[str, Any]) -> str | None:
    """The key of the language model's own config, where the config has parts."""
    return next((key for key in TEXT_PARTS if isinstance(config.get(key), dict) and config[key]), None)


def _implied_type(outer: dict[str, Any]) -> Any:
    """The text model's type where its part does not name it: the multimodal type with _text."""
    implied = outer.get("model_type")
    if isinstance(implied, str) and (_module(f"{implied}_text") or f"{implied}_text" in ALIASES):
        return f"{implied}_text"
    return implied


def _tie_note(outer: Any, inner: Any, key: str) -> list[Note]:
    """A multimodal config that says of its LM head both that it is the input table and that it is not."""
    if not isinstance(outer, bool) or not isinstance(inner, bool) or outer == inner:
        return []
    text = f"tie_word_embeddings is {outer}, but {inner} in {key}; {inner} was used"
    return [Note(code="conflicting-keys", text=text)]


def _multimodal_note(model_type: str, key: str, left_out: list[str]) -> list[Note]:
    if not left_out and not model_type:
        return []
    what = f"left out: {', '.join(left_out)}" if left_out else "its other parts are left out"
    text = f"{model_type or 'multimodal'}: {key} is what counts here; {what}"
    return [Note(code="text-decoder-only", text=printable(text, 1000))]
