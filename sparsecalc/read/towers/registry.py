"""Which reader counts the tower of which multimodal model, by the model_type of the whole."""

from collections.abc import Callable
from dataclasses import dataclass

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers import (
    audio,
    by_formula,
    conformers,
    encoders,
    gemma,
    glm,
    kimi,
    llama4,
    mllama,
    others,
    qwen,
)
from sparsecalc.read.towers.shapes import Pieces

Reader = Callable[[Fields, Fields, int], Pieces]


@dataclass(frozen=True)
class Tower:
    """The reader of a tower; the default type of its config ("": the encoder that it names itself)."""

    default: str
    read: Reader
    key: str = ""
    """Where the config keeps it, where that is not `vision_config` or `audio_config`."""
    formula: bool = False
    """Whether it is known from engines' code alone, and so was not compared with transformers."""


def _each(names: str, default: str, reader: Reader) -> dict[str, Tower]:
    return dict.fromkeys(names.split(), Tower(default, reader))


VISION: dict[str, Tower] = {
    **_each("gemma3 gemma3_text", "siglip_vision_model", gemma.gemma3),
    **_each("gemma4 gemma4_text", "gemma4_vision", gemma.gemma4),
    **_each("gemma3n gemma3n_text", "gemma3n_vision", gemma.gemma3n),
    **_each("paligemma", "siglip_vision_model", encoders.paligemma),
    **_each("llava", "", encoders.llava),
    **_each("llava_next llava_onevision", "", encoders.llava_next),
    **_each("aya_vision", "siglip_vision_model", encoders.aya_vision),
    **_each("cohere2_vision", "siglip_vision_model", encoders.cohere2_vision),
    **_each("lfm2_vl", "siglip2_vision_model", encoders.lfm2_vl),
    **_each("paddleocr_vl", "paddleocr_vl_vision", encoders.paddleocr_vl),
    **_each("smolvlm", "smolvlm_vision", encoders.idefics3),
    **_each("idefics3", "idefics3_vision", encoders.idefics3),
    **_each("mistral3 ministral3", "pixtral", encoders.mistral3),
    **_each("phi4_multimodal", "phi4_multimodal_vision", others.phi4),
    "phi4mm": Tower("phi4_multimodal_vision", others.phi4, key="embd_layer"),
    "deepseek_vl_v2": Tower("deepseek_vl2_vision", others.deepseek_vl2, formula=True),
    **_each("internvl", "internvl_vision", others.internvl),
    "internvl_chat": Tower("intern_vit_6b", others.internvl_chat, formula=True),
    **_each("qwen2_vl", "qwen2_vl_vision", qwen.qwen2_vl),
    **_each("qwen2_5_vl", "qwen2_5_vl_vision", qwen.qwen2_5_vl),
    **_each("qwen2_5_omni qwen2_5_omni_thinker", "qwen2_5_omni_vision_encoder", qwen.qwen2_5_vl),
    **_each("exaone4_5", "exaone4_5_vision", qwen.exaone4_5),
    **_each("qwen3_vl qwen3_vl_moe", "qwen3_vl_vision", qwen.qwen3_vl),
    **_each("qwen3_omni_moe qwen3_omni_moe_thinker", "qwen3_omni_moe_vision_encoder", qwen.qwen3_vl),
    **_each("qwen3_5 qwen3_5_moe qwen3_5_text qwen3_5_moe_text", "qwen3_5_vision", qwen.qwen3_vl),
    **_each("qwen4_exp", "qwen4_exp_vision", qwen.qwen3_vl),
    **_each("llama4 llama4_text", "llama4_vision_model", llama4.read),
    **_each("mllama", "mllama_vision_model", mllama.read),
    "kimi_vl": Tower("moonvit", kimi.kimi_vl, formula=True),
    "kimi_k3": Tower("kimi_k3_vision", by_formula.kimi_k3, formula=True),
    "deepseek_v41": Tower("deepseek_v41_vision", by_formula.deepseek_v41, formula=True),
    "step3_vl": Tower("step3_vision_encoder", by_formula.step3, formula=True),
    **_each("kimi_k25", "kimi_k25_vision", kimi.kimi_k25),
    **_each("glm4v glm46v", "glm4v_vision", glm.glm4v),
    **_each("glm4v_moe", "glm4v_moe_vision", glm.glm4v),
    **_each("glm_ocr", "glm_ocr_vision", glm.glm_ocr),
    **_each("glm5_next", "glm5_next_vision", glm.glm5_next),
    **_each("minimax_m3_vl", "minimax_m3_vl_vision", others.minimax_m3),
    **_each("hunyuan_vl", "hunyuan_vl_vision", others.hunyuan),
    **_each("ernie4_5_vl_moe ernie4_5_moe_vl", "ernie4_5_vl_moe_vision", others.ernie),
    **_each("step3p7", "step3p5_vision", others.step3p7),
    **_each("muse_glimmer", "muse_glimmer_vision", others.muse_glimmer),
}

AUDIO: dict[str, Tower] = {
    **_each("qwen2_audio", "qwen2_audio_encoder", audio.qwen2_audio),
    **_each("qwen2_5_omni qwen2_5_omni_thinker", "qwen2_5_omni_audio_encoder", audio.qwen2_5_omni),
    **_each("qwen3_omni_moe qwen3_omni_moe_thinker", "qwen3_omni_moe_audio_encoder", audio.qwen3_omni),
    **_each("voxtral", "voxtral_encoder", audio.voxtral),
    **_each("gemma3n gemma3n_text", "gemma3n_audio", conformers.gemma3n),
    **_each("gemma4 gemma4_text", "gemma4_audio", conformers.gemma4),
    "granite_speech": Tower("granite_speech_encoder", conformers.granite_speech, key="encoder_config"),
    **_each("phi4_multimodal", "phi4_multimodal_audio", conformers.phi4),
    "phi4mm": Tower("phi4_multimodal_audio", conformers.phi4mm, key="audio_processor"),
}
