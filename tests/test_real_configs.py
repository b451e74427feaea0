"""Configs of released models: exact totals where transformers builds them, no unread keys, the expected notes."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import params
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

FOLDER = Path(__file__).parent / "real_configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

TEXT, MTP, DEFAULT = "text-decoder-only", "mtp-layers", "default-used"
NOTES = {
    "aya-vision-8b": [TEXT],
    "deepseek-v4-flash": [MTP],
    "deepseek-v4.1-flash": [TEXT, MTP, "prompt-layers", "candidate-blocks"],
    "deepseek-vl2-tiny": [TEXT, "by-formula"],
    "ernie-4.5-vl-28b": [TEXT, "vision-experts", MTP],
    "gemma-3-4b-it": [TEXT, DEFAULT],
    "gemma-4-31b-nvfp4": [TEXT],
    "glm-4.1v-9b": [TEXT],
    "glm-4.5v": [TEXT],
    "glm-5.2": [MTP],
    "internvl2.5-8b": [TEXT],
    "kimi-k2.5": [TEXT],
    "kimi-k3": [TEXT],
    "kimi-vl-a3b": [TEXT],
    "llama-4-scout": [TEXT],
    "llava-1.5-7b": [TEXT, DEFAULT],
    "llava-v1.5-7b-original": [TEXT],
    "longcat-flash-lite": ["zero-experts"],
    "minimax-m2.5": [MTP],
    "ministral-3-8b": [TEXT],
    "mistral-small-3.1": [TEXT],
    "nemotron-3-super": [MTP],
    "paligemma2-3b": [TEXT, DEFAULT],
    "pixtral-12b": [TEXT, DEFAULT],
    "qwen2-vl-7b": [TEXT],
    "qwen2.5-omni-7b": [TEXT, TEXT],
    "qwen2.5-vl-3b": [TEXT],
    "qwen3-vl-2b": [TEXT],
    "qwen3-vl-30b-a3b": [TEXT],
    "qwen3.5-35b-a3b": [TEXT, MTP],
    "smolvlm2-2.2b": [TEXT],
    "molmo-7b-d": [DEFAULT],
    "step-3.5-flash": [MTP],
    "step-3.7-flash": [MTP],
    "step-5-preview": [TEXT, MTP],
    "step3": [TEXT],
}
"""Codes of the notes; no entry: none."""

FORMATS = {
    "deepseek-v4-flash": "mxfp4,attention=fp8-block,shared_experts=fp8-block",
    "deepseek-v4.1-flash": "mxfp4,attention=fp8-block,shared_experts=fp8-block",
    "gemma-4-31b-nvfp4": "nvfp4,attention=bf16",
    "kimi-k2.5": "int4-g32,attention=bf16,dense_ffn=bf16,shared_experts=bf16",
    "kimi-k3": "mxfp4-w4a16,attention=bf16,dense_ffn=bf16,shared_experts=bf16,state_space=bf16",
    "llama-bnb4": "nf4",
    "mimo-v2-flash": "fp8-block",
    "minimax-m2.5": "fp8-block",
    "ministral-3-8b": "fp8",
}
"""What the quantization_config says; no entry: there is none."""

BY_FORMULA = {
    "deepseek-v4.1-flash": 748_494_654_064,
    "deepseek-vl2-tiny": 2_934_734_080,
    "ernie-4.5-vl-28b": 28_624_635_776,
    "exaone-3.5-7.8b": 7_818_448_896,
    "grok-2": 269_515_497_472,
    "internvl2.5-8b": 7_737_782_272,
    "k2-horizon-mova-36b": 37_444_792_020,
    "kimi-k3": 2_779_484_393_568,
    "longcat-flash-lite": 68_562_459_648,
    "mimo-v2.5-pro": 1_021_248_099_840,
    "molmo-7b-d": 7_616_075_264,
    "nemotron-super-49b": 49_867_145_216,
    "openpangu-embedded-7b": 8_030_887_936,
    "qwen1-7b": 7_721_324_544,
    "ring-mini-linear-2.0": 16_423_443_456,
    "step-5-preview": 598_476_022_976,
    "step3": 316_294_538_240,
}
"""Totals of those that transformers does not build from the config as released."""


def config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def spec(name: str) -> ModelSpec:
    return read_config(config(name), model_id=name)


@pytest.mark.parametrize("name", NAMES)
def test_notes_and_formats(name: str) -> None:
    found = spec(name)
    assert sorted(note.code for note in found.notes) == sorted(NOTES.get(name, []))
    assert (found.stored.name if found.stored and found.stored.scheme else None) == FORMATS.get(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_FORMULA])
def test_exact_against_transformers(name: str) -> None:
    pytest.importorskip("transformers")
    from sparsecalc.measure.architecture.meta_model import meta_model
    from sparsecalc.measure.architecture.tensor_components import by_component

    real, ours = by_component(meta_model(config(name))), spec(name).ops(Workload()).by_component("params")
    assert {part: ours[part] for part in real} == dict(real)


@pytest.mark.parametrize("name", sorted(BY_FORMULA))
def test_total_by_formula(name: str) -> None:
    assert params(spec(name)).total == BY_FORMULA[name]


def test_the_note_names_what_was_left_out() -> None:
    for name, left_out in {"qwen2-vl-7b": "vision_config", "mistral-small-3.1": "vision_config"}.items():
        assert f"left out: {left_out}" in next(note.text for note in spec(name).notes if note.code == TEXT)
    omni = " ".join(note.text for note in spec("qwen2.5-omni-7b").notes)
    assert "talker_config, token2wav_config" in omni
    assert "audio_config, vision_config" in omni


def test_a_text_part_without_a_type_takes_that_of_the_whole() -> None:
    given = config("qwen3-vl-2b")
    given["text_config"].pop("model_type")
    assert params(read_config(given, model_id="x")).total == params(spec("qwen3-vl-2b")).total


def test_contradicting_tied_heads_are_named() -> None:
    given = config("qwen3-vl-2b")
    given["tie_word_embeddings"], given["text_config"]["tie_word_embeddings"] = False, True
    codes = [note.code for note in read_config(given, model_id="x").notes]
    assert "conflicting-keys" in codes


def test_switches_that_are_off_are_not_named() -> None:
    for value, named in ((False, False), (True, True)):
        found = read_config({**config("qwen2-vl-7b"), "add_cross_attention": value}, model_id="x")
        assert any("add_cross_attention" in note.text for note in found.notes) == named


@pytest.mark.parametrize("block", [{}, {"attention": {"n_heads_in_group": 7}, "ffn": {"no_op": True}}, 3, None])
def test_bad_blocks_of_a_searched_architecture_are_refused(block: Any) -> None:
    given = config("nemotron-super-49b")
    given["block_configs"][0] = block
    with pytest.raises(InputError):
        read_config(given, model_id="x")
