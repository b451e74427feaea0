"""The way in: a config dictionary becomes a `ModelSpec`, by the reader that is named after its model_type."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec, Note, group_layers
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.quantization import stored_formats

ALIASES = {
    "kimi_k2": "deepseek_v3",
    "deepseek-v3": "deepseek_v3",
    "stablelm_epoch": "stablelm",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "internlm": "internlm2",
    "minimax_m1": "minimax_text_01",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
"""model_types that are another family by structure."""

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal configs keep the language model."""

NOT_IN_TRANSFORMERS = (
    *("grok_1", "arctic", "hunyuan", "internlm2", "minicpm", "baichuan", "chatglm"),
    *("deepseek", "bailing_moe", "bailing_moe_v2", "minimax_text_01", "phi4_multimodal"),
)
"""Families that are counted by formula only: transformers lacks them, or does not build their text part alone."""

LONGEST_MODEL_TYPE = 60


def families() -> list[str]:
    """All model_types that have a reader, without the aliases."""
    folder = Path(__file__).parent / "families"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def _module(name: str) -> ModuleType | None:
    if not name.isidentifier() or name.startswith("_") or len(name) > LONGEST_MODEL_TYPE:
        return None
    path = Path(__file__).parent / "families" / f"{name}.py"
    return import_module(f"sparsecalc.read.families.{name}") if path.is_file() else None


def read_config(config: Any, *, model_id: str, where: str = "") -> ModelSpec:
    """A Hugging Face config as a `ModelSpec`.

    Raises InputError, with one clear line, for anything that is not a config of a known family with sane values.
    """
    if not isinstance(config, dict):
        kind = {"NoneType": "null", "list": "a list", "str": "a string"}.get(type(config).__name__, "a number")
        raise InputError(f"a model config is a JSON object, this is {kind}", where=where)
    outer, text, path = config, config, ""
    notes: list[Note] = []
    while (key := _text_part(text)) is not None:
        left_out = sorted(name for name in text if name.endswith("_config") and name != key and text[name])
        notes += _multimodal_note(str(text.get("model_type", "")), key, left_out)
        inherited = {name: text[name] for name in ("tie_word_embeddings", "quantization_config") if name in text}
        outer, text, path = text, {**inherited, **text[key]}, f"{path}{key}."
    model_type = text.get("model_type") or _implied_type(outer)
    if not model_type:
        raise InputError("model_type is missing", where=where, hint="It names the architecture, as in config.json")
    if not isinstance(model_type, str):
        raise InputError(f"model_type is {brief(model_type)}, not a string", where=where)
    family = ALIASES.get(model_type, model_type).replace("-", "_")
    module = _module(family)
    if module is None:
        hint = "Known families: sparsecalc models --families" + did_you_mean(model_type, [*families(), *ALIASES])
        raise InputError(f"unknown model_type {brief(model_type)}", where=where, hint=hint)
    fields = Fields(text, family, where=where, nested=bool(path))
    try:
        body = module.read(fields)
        stored = stored_formats(text.get("quantization_config"), fields)
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
            checked_by="formula" if family in NOT_IN_TRANSFORMERS else "transformers",
        )
    except ValueError as error:
        raise InputError(str(error), where=where, hint="Check the config") from error


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
    if isinstance(implied, str) and _module(f"{implied}_text"):
        return f"{implied}_text"
    return implied


def _multimodal_note(model_type: str, key: str, left_out: list[str]) -> list[Note]:
    if not left_out and not model_type:
        return []
    what = f"left out: {', '.join(left_out)}" if left_out else "its other parts are left out"
    text = f"{model_type or 'multimodal'}: {key} is what counts here; {what}"
    return [Note(code="text-decoder-only", text=printable(text, 1000))]
