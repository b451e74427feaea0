"""`--with vision,mtp`: towers against transformers on meta, and what is said of parts that are not there."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

import sparsecalc
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.library.models import load_model
from sparsecalc.read.config import read_config
from sparsecalc.read.parts_beside import asked_parts
from sparsecalc.read.towers import VISION, stored_parts

REAL = Path(__file__).parent / "real_configs"
FLAT = {"gemma3_text", "gemma4_text", "qwen3_5_text", "qwen3_5_moe_text", "llama4_text", "ministral3"}
"""Text parts that a spec may hold beside vision_config: the same towers under another name."""
SMALL = {"num_hidden_layers": 3, "depth": 3, "hidden_size": 96, "embed_dim": 96, "intermediate_size": 160}
NOT_BUILT = {"kimi_k25"}


def beside_text(model: Any) -> int:
    """Parameters of a multimodal model outside its language model and LM head."""
    found = {name: tensor.numel() for name, tensor in model.named_parameters()}
    return sum(size for name, size in found.items() if "language_model" not in name and "lm_head" not in name)


def built(config: dict[str, Any]) -> Any:
    fields = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(CONFIG_MAPPING[config["model_type"]](**fields))


def counted(config: dict[str, Any]) -> int:
    spec = read_config(config, model_id="x")
    return sum(part.params for part in stored_parts(spec, config, "vision"))


@pytest.mark.parametrize("model_type", sorted({*VISION} - FLAT - NOT_BUILT))
@pytest.mark.parametrize("changes", [{}, SMALL], ids=["default", "small"])
def test_towers_are_those_of_transformers(model_type: str, changes: dict[str, int]) -> None:
    config = CONFIG_MAPPING[model_type]().to_dict()
    if not config.get("vision_config"):
        config["vision_config"] = CONFIG_MAPPING[f"{model_type}_vision"]().to_dict()
    vision = config["vision_config"]
    vision |= {key: value for key, value in changes.items() if key in vision}
    if model_type == "qwen2_vl" and changes:
        vision["hidden_size"] = config["text_config"]["hidden_size"]
    text = config["text_config"] | {"head_dim": 64}
    if text.get("use_bidirectional_attention"):
        text["use_bidirectional_attention"] = None
    config = {"model_type": model_type, "vision_config": vision, "text_config": text}
    assert counted(config) == beside_text(built(config))


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
    config = json.loads((REAL / "kimi-vl-a3b.json").read_text())
    with pytest.raises(InputError, match="vision tower of kimi_vl is not known"):
        counted(config)


transformers.logging.set_verbosity_error()
