"""`--with vision,mtp`: towers against transformers on meta, and what is said of parts that are not there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForMultimodalLM

import sparsecalc
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.library.models import load_model
from sparsecalc.read.config import read_config
from sparsecalc.read.parts_beside import asked_parts
from sparsecalc.read.towers import stored_parts
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
NOT_BUILT = {"internvl_chat", "kimi_vl", "phi4mm", "deepseek_vl_v2", "ernie4_5_moe_vl", "gemma3n"}
"""Of which transformers has no class, or none that it builds without another library."""
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
    config = json.loads((REAL / "step3.json").read_text())
    with pytest.raises(InputError, match="vision tower of step3_vl is not known"):
        counted(config)


transformers.logging.set_verbosity_error()
