"""Whether the class that transformers builds is the one that a config means: its name, and every size consumed."""

from inspect import signature
from typing import Any

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.data_files import read_data
from sparsecalc.read.architectures import class_of, is_draft, is_headless, same_architecture
from sparsecalc.read.config import TEXT_PARTS

_CLASSES = (
    modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    modeling_auto.MODEL_MAPPING_NAMES,
)
_WRONG = "Its counts would be those of another model"


def check_named_head(config: dict[str, Any]) -> None:
    """Raise InputError where `architectures` names a class without a language model's head, or a draft model."""
    name = class_of(config)
    if is_draft(name) or is_headless(name):
        text = f"architectures names {printable(name, 60)}, no causal language model with its LM head"
        raise InputError(text, hint="Only those are built here")


def check_class(config: dict[str, Any]) -> None:
    """Raise InputError where another class would be built than the config names, or one that leaves a size unread."""
    check_named_head(config)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return
    name, built = class_of(config), [str(mapping[model_type]) for mapping in _CLASSES if model_type in mapping]
    if built and not same_architecture(name, [model_type, *built]):
        text = f"architectures names {printable(name, 60)}, but transformers builds {built[0]} for this model_type"
        raise InputError(text, hint=_WRONG)
    if unread := _unread_size(config, CONFIG_MAPPING[model_type]):
        text = f"{unread} is given, but transformers' {CONFIG_MAPPING[model_type].__name__} does not use it"
        raise InputError(text, hint=_WRONG)


def _unread_size(config: dict[str, Any], known: Any) -> str:
    """A key that holds a size and that the config class neither reads nor hands to its text part; empty: none.

    Of several keys that count experts, one that is read is enough.
    """
    if any(isinstance(config.get(key), dict) for key in TEXT_PARTS):
        return ""  # the sizes stand in the text part
    try:
        default, made = known(), known(**{key: value for key, value in config.items() if key != "model_type"})
    except Exception:  # the class refuses the config: building it will say why
        return ""
    text, facts = made.get_text_config(decoder=True), read_data("model_classes.json")
    names = {*signature(known.__init__).parameters, *known.attribute_map, *known.attribute_map.values()}

    def is_read(key: str) -> bool:
        handed_on = text is not made and getattr(text, key, None) == config[key]
        return key in names or hasattr(default, key) or handed_on

    sizes = [key for key in facts["sizes"] if config.get(key) is not None]
    counts = [key for key in facts["expert_counts"] if isinstance(config.get(key), int) and config[key] > 1]
    if counts and not any(is_read(key) for key in counts):
        return str(counts[0])
    return next((key for key in sizes if not is_read(key)), "")
