"""Multimodal configs that hold the language model's keys flat and tell by a version whose keys they are."""

from typing import Any

from sparsecalc.read.class_constants import class_constants

LANGUAGE_MODELS = {
    "minicpmv": {"2.0": "minicpm", "2.5": "llama", "2.6": "qwen2", "4.0": "llama", "4.5": "qwen3"},
    "minicpmo": {"2.6": "qwen2", "4.5": "qwen3"},
}
"""The language model of each version of MiniCPM-V and MiniCPM-o: vLLM 0.33.0, models/minicpmv.py and minicpmo.py."""

OTHERWISE = {"minicpmv": "2.5", "minicpmo": "2.6"}

BESIDE = (
    *("version", "query_num", "slice_config", "slice_mode", "drop_vision_last_layer", "image_size", "patch_size"),
    *("use_image_id", "vision_batch_size", "batch_vision_input", "batch_3d_resampler", "mm_use_im_start_end"),
    *("vision_encoder", "tts_config", "init_tts", "init_audio", "init_vision", "audio_pool_step", "audio_chunk_length"),
    *("chunk_input", "listen_speak_type", "stream_input", "im_start_token_id", "vision_config", "audio_config"),
)
"""Keys of the vision and audio parts."""


def by_version(model_type: Any, config: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The language model's type and keys; None where the config tells its language model in another way."""
    known = LANGUAGE_MODELS.get(model_type) if isinstance(model_type, str) else None
    if known is None:
        return None
    sizes = config.get("hidden_size"), config.get("query_num")
    first = class_constants("minicpmv")["first"]
    is_first = sizes == (first["hidden_size"], first["query_num"])
    usual = first["version"] if is_first else OTHERWISE[model_type]
    family = known.get(str(config.get("version") or usual))
    return (family, {key: value for key, value in config.items() if key not in BESIDE}) if family else None
