"""Write data/config_defaults/<model_type>.json: the defaults that transformers' config classes give to absent keys.

Run with the `measure` extra installed: python tools/config_defaults.py. Families that transformers does not have are
written by hand (their files name another source) and are left alone.
"""

import dataclasses
import json
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING

ROOT = Path(__file__).resolve().parent.parent
BASE = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
KEEP = {"tie_word_embeddings"}
KEYWORDS = {
    "ernie4_5_vl_moe_text": {"moe_intermediate_size": [1536, 512]},
    "gemma3_text": {"sliding_window_pattern": 6},
    "gemma4_text": {"global_head_dim": 512},
    "cohere2": {"sliding_window_pattern": 4},
    "cohere2_moe": {"first_k_dense_replace": 0},
    "qwen3_next": {"full_attention_interval": 4},
    "qwen3_5_text": {"full_attention_interval": 4},
    "qwen3_5_moe_text": {"full_attention_interval": 4},
    "qwen4_exp_text": {"full_attention_interval": 4},
    "kimi_linear": {"first_k_dense_replace": 1},
    "deepseek_v4": {"compress_rate_csa": 4, "compress_rate_hca": 128},
}
"""Defaults of keys that a config class takes as keyword arguments, which are not fields of it."""
OTHER_NAMES: dict[str, dict[str, str]] = {
    "deepseek_v32": {"num_experts": "n_routed_experts"},
    "step3p5": {"num_experts": "n_routed_experts"},
    "glm_moe_dsa": {"num_experts": "n_routed_experts"},
    "falcon": {
        "n_embed": "hidden_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "n_head_kv": "num_kv_heads",
    },
    "bloom": {"n_embed": "hidden_size"},
    "jetmoe": {
        "moe_num_experts": "num_local_experts",
        "moe_top_k": "num_experts_per_tok",
        "ffn_hidden_size": "intermediate_size",
        "num_layers": "num_hidden_layers",
    },
    "nemotron_h": {
        "mamba_n_groups": "n_groups",
        "mamba_d_conv": "conv_kernel",
        "mamba_conv_bias": "use_conv_bias",
    },
}
"""Names of keys in released configs that the class's attribute_map lacks."""


def defaults(model_type: str) -> dict[str, object]:
    """Raw field defaults of the config class (None where the class derives a value), and its other key names."""
    config_class = CONFIG_MAPPING[model_type]
    found = {}
    for field in dataclasses.fields(config_class):
        simple = isinstance(field.default, (int, float, str, bool, type(None)))
        if (field.name not in BASE or field.name in KEEP) and simple and field.default == field.default:
            found[field.name] = field.default
    return {
        "model_type": model_type,
        "source": f"transformers {transformers.__version__}, {config_class.__name__}",
        "other_names": other_names(config_class) | OTHER_NAMES.get(model_type, {}),
        "defaults": found | KEYWORDS.get(model_type, {}),
    }


def other_names(config_class: type) -> dict[str, str]:
    """The class's attribute_map, without names that are fields beside the one they lead to, which overrides them."""
    fields = {field.name for field in dataclasses.fields(config_class)}
    return {other: own for other, own in config_class.attribute_map.items() if not {other, own} <= fields}


def main() -> None:
    """One file per family that sparsecalc reads and transformers has."""
    readers = {path.stem for path in (ROOT / "sparsecalc" / "read" / "families").glob("*.py")} - {"__init__"}
    for model_type in sorted(readers):
        if model_type in CONFIG_MAPPING:
            target = ROOT / "data" / "config_defaults" / f"{model_type}.json"
            target.write_text(json.dumps(defaults(model_type), indent=1) + "\n")


if __name__ == "__main__":
    main()
