"""Write data/transformers_model_types.json: the model_types that transformers generates text with.

Run with the `measure` extra installed: python tools/transformers_types.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

ROOT = Path(__file__).resolve().parent.parent
REGISTRIES = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
)
TEXT_KEYS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")


def text_generation() -> set[str]:
    """Every model_type of those registries."""
    return {name for registry in REGISTRIES for name in getattr(modeling_auto, registry)}


def text_part(model_type: str) -> str:
    """The model_type of the language model of a multimodal config that does not name it; empty where it has none."""
    if model_type not in CONFIG_MAPPING:
        return ""
    config_class: Any = CONFIG_MAPPING[model_type]
    parts: dict[str, Any] = getattr(config_class, "sub_configs", None) or {}
    key = next((key for key in TEXT_KEYS if key in parts), None)
    if key is None:
        return ""
    own = str(getattr(parts[key], "model_type", ""))
    while own and (inner := text_part(own)):
        own = inner
    return own or _default(config_class, key)


def _default(config_class: Any, key: str) -> str:
    try:
        return str(getattr(getattr(config_class(), key), "model_type", ""))
    except Exception:  # a class whose own defaults its checks refuse
        return ""


def parts() -> Iterator[tuple[str, str]]:
    """Each multimodal model_type with that of its language model."""
    for name in sorted(text_generation()):
        if name in CONFIG_MAPPING and (own := text_part(name)):
            yield name, own


def main() -> None:
    """One file for the registries of the transformers that is installed."""
    found = {
        "source": f"transformers {transformers.__version__}, models/auto/modeling_auto.py: {', '.join(REGISTRIES)}",
        "text_generation": sorted(text_generation()),
        "text_parts": dict(parts()),
    }
    target = ROOT / "data" / "transformers_model_types.json"
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
