"""`--with vision,mtp`: towers against transformers on meta, and what is said of parts that are not there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForMultimodalLM, Gemma3nAudioConfig, Gemma3nTextConfig
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nAudioEncoder, Gemma3nMultimodalEmbedder

import sparsecalc
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.library.models import load_model
from sparsecalc.read.config import read_config
from sparsecalc.read.parts_beside import asked_parts
from sparsecalc.read.towers.beside import stored_parts
from sparsecalc.read.towers.registry import AUDIO, VISION

REAL = Path(__file__).parent / "real_configs"
FLAT = {"gemma3_text", "gemma3n_text", "gemma4_text", "qwen3_5_text", "qwen3_5_moe_text", "llama4_text", "ministral3"}
"""Text parts that a spec may hold beside vision_config: the same towers under another name."""
SMALL = {
    **dict.fromkeys(("num_hidden_layers", "depth", "encoder_layers", "num_layers", "num_blocks"), 3),
    **dict.fromkeys(("num_global_layers", "conf_num_hidden_layers"), 2),
    **dict.fromkeys(("hidden_size", "embed_dim", "d_model", "hidden_dim"), 160),
    **dict.fromkeys(("intermediate_size", "encoder_ffn_dim"), 224),
    **dict.fromkeys(("num_attention_heads", "num_heads", "encoder_attention_heads", "attention_heads"), 4),
    **{"num_mel_bins": 80, "output_dim": 96, "out_hidden_size": 192, "num_key_value_heads": 2, "head_dim": 40},
}
NOT_BUILT = {name for towers in (VISION, AUDIO) for name, tower in towers.items() if tower.formula}
NOT_BUILT |= {"phi4mm", "ernie4_5_moe_vl", "gemma3n"}
"""Of which transformers has no class, or none that it builds without another library."""
PHI4MM_AUDIO = {"attention_dim": 1024, "num_blocks": 24, "relative_attention_bias_args": {"t5_bias_max_distance": 500}}
TEXT = ("language_model", "lm_head", "text_model.")
CASES = [*((name, "vision") for name in VISION), *((name, "audio") for name in AUDIO)]
BUILT = sorted(case for case in CASES if case[0] not in FLAT | NOT_BUILT)


def beside_text(model: Any, part: str = "vision") -> int:
    """Parameters of a multimodal model outside its language model and LM head, of its vision or of its audio."""
    found = {name: tensor.numel() for name, tensor in model.named_parameters()}
    extended = any("embed_tokens_extend" in name for name in found)
    beside = {name for name in found if not any(word in name for word in TEXT)}
    beside = {name for name in beside if "embed_tokens_extend" in name or not extended}
    heard = {name for name in beside if "audio" in name}
    if {"vision", "visual", "image"} & {
        word for name in beside for word in ("vision", "visual", "image") if word in name
    }:
        beside = beside - heard if part == "vision" else heard
    return sum(found[name] for name in beside)


def built(config: dict[str, Any]) -> Any:
    fields = {key: value for key, value in config.items() if key != "model_type"}
    made = CONFIG_MAPPING[config["model_type"]](**fields)
    with torch.device("meta"):
        if config["model_type"] in ("qwen2_5_omni", "qwen3_omni_moe"):
            return AutoModelForMultimodalLM.from_config(made.thinker_config)
        return AutoModelForMultimodalLM.from_config(made)


def counted(config: dict[str, Any], part: str = "vision") -> int:
    spec = read_config(config, model_id="x")
    return sum(piece.params for piece in stored_parts(spec, config, part))


@pytest.mark.parametrize(("model_type", "part"), BUILT)
@pytest.mark.parametrize("changes", [{}, SMALL], ids=["default", "small"])
def test_towers_are_those_of_transformers(model_type: str, part: str, changes: dict[str, int]) -> None:
    config = small_text(CONFIG_MAPPING[model_type]().to_dict())
    holder = config.get("thinker_config") or config
    key = (VISION if part == "vision" else AUDIO)[model_type].key or f"{part}_config"
    if not holder.get(key):
        holder[key] = CONFIG_MAPPING[f"{model_type}_{part}"]().to_dict()
    tower = holder[key]
    tower |= {name: value for name, value in changes.items() if name in tower}
    if model_type == "aya_vision":
        tower["num_attention_heads"] = 4
    if model_type == "muse_glimmer":
        tower["layer_types"] = tower["layer_types"][: tower["num_hidden_layers"]]
    assert counted(config, part) == beside_text(built(config), part)


def small_text(config: dict[str, Any]) -> dict[str, Any]:
    """The config with text parts that both sides build."""
    text = (config.get("thinker_config") or config).get("text_config") or {}
    if config["model_type"].startswith(("gemma3", "glm4v_moe", "qwen3_omni")) or "head_dim" in text:
        text["head_dim"] = text.get("head_dim") or 64
    if config["model_type"] == "qwen4_exp":
        text |= {"indexer_compress_ratio": 4, "indexer_budget": 8, "indexer_n_heads": 2, "indexer_kv_heads": 1}
        text |= {"indexer_head_dim": 256}
    if text.get("use_bidirectional_attention"):
        text["use_bidirectional_attention"] = None
    return config


REAL_TOWERS = ["gemma-3-4b-it", "mistral-small-3.1", "qwen2.5-vl-3b", "qwen2-vl-7b", "llava-1.5-7b", "pixtral-12b"]


@pytest.mark.parametrize("name", REAL_TOWERS)
def test_towers_of_real_configs(name: str) -> None:
    config = json.loads((REAL / f"{name}.json").read_text())
    config.pop("sparsecalc", None)
    assert counted(config) == beside_text(built(config))


def test_the_published_total_of_gemma_3_is_decoder_and_tower() -> None:
    report = sparsecalc.load("gemma-3-27b").report(with_parts="vision")
    assert report.params.total == 27_432_406_640


@pytest.mark.parametrize(
    ("name", "parts", "total"),
    [
        ("gemma-3-4b", "vision", 4_300_079_472),
        ("llama-4-scout", "vision", 108_641_793_536),
        ("llama-4-maverick", "vision", 401_583_781_376),
        ("qwen3.5-27b", "vision,mtp", 27_781_427_952),
        ("qwen3.5-35b-a3b", "vision,mtp", 35_951_822_704),
        ("nemotron-3-super-120b-a12b", "mtp", 123_611_012_096),
    ],
)
def test_decoder_and_parts_are_the_published_total(name: str, parts: str, total: int) -> None:
    """Totals of the Hub's safetensors headers, as each spec cites them."""
    assert sparsecalc.load(name).report(with_parts=parts).params.total == total


def test_step_3_5_with_prediction_layers_is_its_published_total() -> None:
    """199,384,301,376 on the Hub: with three copies of the LM head, and 288 bias buffers in each of 42 layers."""
    loaded = load_model("step-3.5-flash").with_parts(("mtp",))
    copies = 3 * loaded.spec.vocab_size * loaded.spec.hidden_size
    assert loaded.spec.ops(Workload()).total("params") + copies + 42 * 288 == 199_384_301_376


def test_the_towers_of_gemma_3n() -> None:
    """Its audio as transformers builds it, its vision with MobileNetV5 as timm has it: 294,126,912."""
    loaded = load_model("gemma-3n-e4b")
    hidden, config = loaded.spec.hidden_size, Gemma3nAudioConfig()
    with torch.device("meta"):
        parts = [Gemma3nAudioEncoder(config), Gemma3nMultimodalEmbedder(config, Gemma3nTextConfig(hidden_size=hidden))]
    expected = sum(tensor.numel() for part in parts for tensor in part.parameters())
    assert sum(part.params for part in stored_parts(loaded.spec, loaded.config, "audio")) == expected
    embedder = 128 * 2048 + 2 * 2048 + 2048 * hidden
    assert sum(part.params for part in stored_parts(loaded.spec, loaded.config, "vision")) == 294_126_912 + embedder


def test_phi4mm_files_have_the_towers_of_phi4_multimodal() -> None:
    """The decoder, both towers, LoRA weights of ranks 256 and 320 of 45,056 a layer, and 160 buffers.

    5,574,460,384: the total of microsoft/Phi-4-multimodal-instruct on the Hub (recalled, and met to the digit).
    """
    config = CONFIG_MAPPING["phi4_multimodal"]().to_dict()
    for key in ("vision_config", "audio_config"):
        del config[key]
    config |= {
        "model_type": "phi4mm",
        "embd_layer": {"image_embd_layer": {}},
        "audio_processor": {"config": PHI4MM_AUDIO},
    }
    config |= {"num_attention_heads": 24, "num_key_value_heads": 8, "tie_word_embeddings": True}
    spec = read_config(config, model_id="x")
    towers = sum(part.params for name in ("vision", "audio") for part in stored_parts(spec, config, name))
    lora = 32 * 45_056 * (256 + 320)
    assert spec.ops(Workload()).total("params") + towers + lora + 160 == 5_574_460_384


def test_towers_that_transformers_lacks_say_so() -> None:
    config = str(REAL / "kimi-vl-a3b.json")
    (note,) = (note for note in load_model(config).with_parts(("vision",)).notes if note.code == "with-parts")
    assert "by formula" in note.text


def test_what_is_left_out_is_what_was_not_asked_for() -> None:
    def left_out(*parts: str) -> list[str]:
        notes = load_model("gemma-4-e2b").with_parts(parts).notes
        return [note.text.partition("left out: ")[2] for note in notes if note.code == "text-decoder-only"]

    assert left_out() == ["audio_config, vision_config"]
    assert left_out("vision") == ["audio_config"]
    assert left_out("vision", "audio") == []


def test_towers_are_stored_and_not_used() -> None:
    plain, loaded = load_model("gemma-3-27b"), load_model("gemma-3-27b").with_parts(("vision",))
    work = Workload.decode(context_len=100)
    assert loaded.spec.ops(work).total("flops") == plain.spec.ops(work).total("flops")
    assert loaded.spec.ops(work).total("active_params") == plain.spec.ops(work).total("active_params")


def test_a_tower_takes_memory_and_no_time() -> None:
    model = sparsecalc.load("gemma-3-12b")
    plain, more = (model.report(gpu="h100-sxm", with_parts=parts) for parts in (None, "vision"))
    assert plain.prediction
    assert plain.prediction.decode
    assert more.prediction
    assert more.prediction.decode
    assert more.prediction.decode.seconds == plain.prediction.decode.seconds
    assert more.memory.weights_bytes - plain.memory.weights_bytes == 2 * 421_290_864


def test_glm_4_5_air_with_prediction_layers_is_its_published_total() -> None:
    """110,468,824,832 on the Hub: with copies of both tables, and 128 bias buffers in each of 46 layers."""
    loaded = load_model("glm-4.5-air").with_parts(("mtp",))
    copies = 2 * loaded.spec.vocab_size * loaded.spec.hidden_size
    assert loaded.spec.ops(Workload()).total("params") + copies + 46 * 128 == 110_468_824_832


def test_prediction_layers_of_deepseek_v3() -> None:
    """671.03 B of the decoder and 11.6 B of prediction layers (arXiv:2412.19437, and its README: 14 B with copies)."""
    plain, loaded = load_model("deepseek-v3"), load_model("deepseek-v3").with_parts(("mtp",))
    work = Workload.decode(context_len=1)
    more = loaded.spec.ops(work).total("params") - plain.spec.ops(work).total("params")
    copies = 2 * plain.spec.vocab_size * plain.spec.hidden_size
    assert 13.0e9 < more + copies < 14.5e9
    assert not [note for note in loaded.notes if note.code == "mtp-layers"]


def test_a_part_that_is_not_there_is_said() -> None:
    loaded = load_model("llama-2-7b").with_parts(("vision", "mtp"))
    assert [note.text for note in loaded.notes if note.code == "with-parts"] == [
        "the config gives no vision part to count",
        "the config gives no mtp part to count",
    ]


def test_unknown_parts_and_towers_are_refused() -> None:
    with pytest.raises(InputError, match="no part of a model"):
        asked_parts("vison")
    config = json.loads((REAL / "aya-vision-8b.json").read_text())
    with pytest.raises(InputError, match="vision tower of ovis2 is not known"):
        counted(config | {"model_type": "ovis2"})
    with pytest.raises(InputError, match="the tower resnet of aya_vision is not known"):
        counted(config | {"vision_config": {"model_type": "resnet"}})


transformers.logging.set_verbosity_error()
