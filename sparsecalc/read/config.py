"""The way in: a config dictionary becomes a `ModelSpec`, by the reader that is named after its model_type."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.text import brief, printable
from sparsecalc.model.spec import ModelSpec, group_layers
from sparsecalc.model.stored import StoredPart
from sparsecalc.read.architectures import as_named, check_experts, class_of, other_family
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields, whole
from sparsecalc.read.prediction_layers import count_mtp
from sparsecalc.read.stored.resolve import SECTIONS, as_stored
from sparsecalc.read.unread import refuse_by_name, refuse_unknown, transformers_types
from sparsecalc.read.versions import by_version

ALIASES = {
    **dict.fromkeys(("kimi_k2", "kimi_k25", "kimi_vl"), "deepseek_v3"),
    "deepseek-v3": "deepseek_v3",
    "deepseek_ref": "deepseek_v4",
    "deepseek_v41": "deepseek_v41_text",
    "mistral4": "deepseek_v3",
    "gpt-sw3": "gpt2",
    **dict.fromkeys(("exaone4_5_text", "exaone4_5"), "exaone4"),
    "mllama": "mllama_text_model",
    **{outer: f"{outer}_text" for outer in ("inkling2", "inkling2_loop")},
    "inkling_mm_model": "inkling_text",
    "qwen4_exp": "qwen4_exp_text",
    "glm5_next": "glm5_next_text",
    **dict.fromkeys(("minimax_m3", "minimax_m3_text", "minimax_m3_vl"), "minimax_m3_vl_text"),
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
    "step4": "step5",
    **dict.fromkeys(("longcat_flash_pro", "longcat_flash_sparse"), "longcat_flash_ngram"),
    "phi3_v": "phi3",
    "phi4mm": "phi4_multimodal",
    **dict.fromkeys(("deepseek_vl_v2", "deepseekocr", "deepseek-ocr", "unlimited-ocr"), "deepseek_v2"),
    **dict.fromkeys(("telechat2", "TeleChat2"), "telechat"),
    **dict.fromkeys(("telechat3", "TeleFLM", "teleflm"), "llama"),
    **dict.fromkeys(("muse_spark", "musespark1x_text"), "muse_spark_text"),
    "interns2_mobius": "interns2_mobius_text",
    "dots_ocr": "qwen2",
    "dots_vlm": "deepseek_v3",
    **dict.fromkeys(("Keye", "KeyeVL1_5"), "qwen3"),
    "Dream": "dream",
    **dict.fromkeys(("Yi", "aquila", "xverse", "skywork", "llava_llama"), "llama"),
    **dict.fromkeys(("PanguEmbedded", "pangu_ultra_moe", "PanguProMoEV2", "openpangu_vl"), "pangu"),
    "llava": "llama",
    "llava_mistral": "mistral",
    "llava_mpt": "mpt",
    **dict.fromkeys(("step3_vl", "step3_vl_text"), "step3_text"),
    "bailing_moe_linear_v2": "bailing_moe_linear",
    "llava_qwen": "qwen2",
}
"""model_types that are another family by structure."""

NAMED_BY_KEYS = {
    ("kimi_linear", "routed_expert_hidden_size"): "kimi_k3",
    ("kimi_linear", "attn_res_block_size"): "kimi_k3",
    ("git", "num_local_experts"): "grok_2",
    ("bailing_hybrid", "group_norm_size"): "bailing_moe_linear",
}
"""Families whose configs have another's model_type, told by a key that only they have."""

WITHOUT_TYPE = {
    "LongcatFlashForCausalLM": "longcat_flash",
    **dict.fromkeys(("LongcatFlashNgramForCausalLM", "LongcatCausalLM"), "longcat_flash_ngram"),
}
"""Families that released configs name in `architectures` alone."""

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
    *("chameleon", "mimo", "nemotron_nas", "qwen"),
    *("kimi_k3", "deepseek_v41_text", "mimo_v2", "longcat_flash_ngram", "grok_2"),
    *("step1", "step3_text", "molmo", "jet_nemotron", "bailing_moe_linear", "pangu", "k2_horizon"),
    *("nemotron_h_puzzle", "step5"),
    *("alice_ai", "deci", "domyn_edge", "dream", "gigachat3_5", "gla", "hymba", "interns2_mobius_text", "iquest_q1"),
    *("iquestloopcoder", "llada", "llada2_moe", "minicpm_sala", "nanbeige", "openelm", "orion", "ouro", "param2moe"),
    *("phi3small", "phi4flash", "plamo3", "rnj1", "rwkv7", "sdar", "sdar_moe", "skywork_moe", "solar", "spark2_5"),
    *("telechat", "xverse_moe", "yuan"),
)
"""Families that are counted by formula only: transformers lacks them, or does not build their text part alone."""

LONGEST_MODEL_TYPE = 60


@cache
def families() -> tuple[str, ...]:
    """All model_types that have a reader, without the aliases."""
    folder = Path(__file__).parent / "families"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__"))


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
    refuse_by_name("architecture", _classes(config), where)
    named = next((NAMED_BY_KEYS[pair] for pair in NAMED_BY_KEYS if pair[0] == model_type and text.get(pair[1])), None)
    family, module = _reader(named or model_type or _type_of_class(config), where)
    fields = Fields(text, family, where=where, nested=_text_part(config) is not None)
    try:
        body = module.read(fields)
        check_experts(body, text, fields)
        body = as_named(body, text, fields, class_named := class_of(config))
        notes += other_family(class_named, str(config.get("model_type") or model_type), family, _readers())
        spec = ModelSpec(
            id=model_id,
            model_type=model_type or family,
            hidden_size=body.hidden_size,
            vocab_size=body.vocab_size,
            tie_word_embeddings=body.tie_word_embeddings,
            tables=body.tables,
            layer_groups=group_layers(body.layers),
            final=body.final,
            head=body.head,
            max_position_embeddings=_longest_context(fields),
            fp32_states="float32" in (text.get("mamba_ssm_dtype"), text.get("mamba_ssm_cache_dtype")),
            mtp=_mtp(fields, body),
            mtp_layers=fields.mtp_step,
            checked_by="formula" if family in NOT_IN_TRANSFORMERS else "transformers",
        )
        spec = as_stored(spec, fields, family)
        return spec.but(notes=(*notes, *fields.finish()))
    except ValueError as error:
        raise InputError(str(error), where=where, hint="Check the config") from error


CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "max_sequence_length")
"""Names of the longest context, as vLLM looks for them."""


def _longest_context(fields: Fields) -> int | None:
    """The longest context that the config allows; None where it names none, or nothing that is a length."""
    named = (whole(fields.raw(key, default=None)) for key in CONTEXT_KEYS)
    return next((value for value in named if type(value) is int and 0 < value < 2**31), None)


def _text_config(config: dict[str, Any]) -> tuple[dict[str, Any], Any, list[Note]]:
    """The language model's own config, its model_type, and notes on what stands beside it."""
    outer, text = config, config
    notes: list[Note] = []
    while (key := _text_part(text)) is not None:
        parts = (name for name in text if name.endswith("_config") and name not in (key, *NOT_A_PART))
        notes += _multimodal_note(str(text.get("model_type", "")), key, sorted(name for name in parts if text[name]))
        kept = ("tie_word_embeddings", "dtype", "torch_dtype", *SECTIONS)
        inherited: dict[str, Any] = {name: text[name] for name in kept if name in text}
        notes += _tie_note(inherited.get("tie_word_embeddings"), text[key].get("tie_word_embeddings"), key)
        outer, text = text, {**inherited, **text[key]}
    beside = sorted(name for name in BESIDE_TEXT if text.get(name))
    if beside:
        notes += _multimodal_note(str(text.get("model_type", "")), "the text decoder", beside)
        text = {name: value for name, value in text.items() if name not in BESIDE_TEXT}
    if versioned := by_version(text.get("model_type"), text):
        return versioned[1], versioned[0], notes
    return text, text.get("model_type") or _implied_type(outer), notes


def _type_of_class(config: dict[str, Any]) -> str | None:
    """The family of a config without a model_type, by the class that it names."""
    return next(
        (WITHOUT_TYPE[name] for name in _classes(config) if isinstance(name, str) and name in WITHOUT_TYPE), None
    )


def _classes(config: dict[str, Any]) -> list[Any]:
    """What `architectures` names."""
    named = config.get("architectures")
    return named if isinstance(named, list) else []


def _reader(model_type: Any, where: str) -> tuple[str, ModuleType]:
    """The family that reads a model_type. Raises InputError where there is none."""
    if not model_type:
        raise InputError("model_type is missing", where=where, hint="It names the architecture, as in config.json")
    if not isinstance(model_type, str):
        raise InputError(f"model_type is {brief(model_type)}, not a string", where=where)
    family = ALIASES.get(model_type, model_type).replace("-", "_")
    if (module := _module(family)) is None:
        refuse_unknown(model_type, [*families(), *ALIASES], TEXT_PARTS, where)
    return family, module


def _mtp(fields: Fields, body: Body) -> tuple[StoredPart, ...]:
    """Layers for multi-token prediction: as the family has them, or each as the last decoder layer is."""
    if fields.mtp_layers:
        count_mtp(fields, [[body.layers[-1]]] * fields.mtp_layers, body.hidden_size)
    return fields.mtp


def _text_part(config: dict[str, Any]) -> str | None:
    """The key of the language model's own config, where the config has parts."""
    return next((key for key in TEXT_PARTS if isinstance(config.get(key), dict) and config[key]), None)


def _implied_type(outer: dict[str, Any]) -> Any:
    """The text model's type where its part does not name it: the multimodal type with _text, or as transformers has."""
    implied = outer.get("model_type")
    if isinstance(implied, str) and (_module(f"{implied}_text") or f"{implied}_text" in ALIASES):
        return f"{implied}_text"
    return transformers_types()["text_parts"].get(implied, implied) if isinstance(implied, str) else implied


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
