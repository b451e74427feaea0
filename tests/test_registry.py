"""Every architecture that transformers generates text with is read, or refused by name with a reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import data_folder
from sparsecalc.read.config import ALIASES, families, read_config
from sparsecalc.read.unread import refused_architectures

TYPES: dict[str, Any] = json.loads((data_folder() / "transformers_model_types.json").read_text())


def is_read(model_type: str) -> bool:
    """Whether there is a reader for the type, or for the language model that it is made of."""
    return {ALIASES.get(model_type, model_type).replace("-", "_"), f"{model_type}_text"} & {
        *families(),
        *ALIASES,
    } != set()


def neither(types: dict[str, Any]) -> Iterator[str]:
    """Types that are neither read nor refused, themselves or as the language model that they are made of."""
    for name in types["text_generation"]:
        candidates = {name, types["text_parts"].get(name, name)}
        if not any(is_read(each) or each in refused_architectures() for each in candidates):
            yield name


def test_every_text_generation_type_is_read_or_refused() -> None:
    assert list(neither(TYPES)) == []
    assert len(TYPES["text_generation"]) > 300


def test_the_list_is_that_of_the_transformers_installed() -> None:
    """Rewritten by: python tools/transformers_types.py, when transformers is upgraded."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.auto import modeling_auto

    registries = TYPES["source"].partition(": ")[2].split(", ")
    installed = {name for registry in registries for name in getattr(modeling_auto, registry)}
    if f"transformers {transformers.__version__}," in TYPES["source"]:
        assert installed == set(TYPES["text_generation"])
    missing = neither({"text_generation": sorted(installed), "text_parts": TYPES["text_parts"]})
    assert list(missing) == [], "read it, or refuse it with a reason in data/refused_architectures.json"


@pytest.mark.parametrize("model_type", sorted(refused_architectures()))
def test_a_refusal_says_why_and_what_to_do(model_type: str) -> None:
    refusal = refused_architectures()[model_type]
    assert set(refusal) == {"reason", "what_to_do", "source"}
    assert all(len(text) > 10 for text in refusal.values())
    with pytest.raises(InputError) as error:
        read_config({"model_type": model_type}, model_id="refused")
    assert refusal["reason"] in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_both_read_and_refused() -> None:
    assert {name for name in refused_architectures() if name in {*families(), *ALIASES}} == set()


@pytest.mark.parametrize(
    ("model_type", "guess"),
    [
        ("step3_text", "gemma3_text"),
        ("yuan", "hunyuan"),
        ("gla", "glm"),
        ("transformer", "switch_transformers"),
        ("git", "granite"),
        ("exaone9_text", "qwen3_5_text"),
    ],
)
def test_another_architecture_is_no_misspelling(model_type: str, guess: str) -> None:
    with pytest.raises(InputError) as error:
        read_config({"model_type": model_type}, model_id="unknown")
    assert guess not in str(error.value)


def test_a_misspelling_is_told() -> None:
    with pytest.raises(InputError, match="Did you mean 'qwen3_moe'"):
        read_config({"model_type": "qwen3moe"}, model_id="unknown")


def test_the_class_of_transformers_is_offered_only_where_it_has_one() -> None:
    with pytest.raises(InputError) as error:
        read_config({"model_type": "brand_new"}, model_id="unknown")
    assert "--from-architecture" not in str(error.value)


def test_a_text_part_without_a_type_takes_that_of_its_family() -> None:
    """As transformers does: LLaVA's text part is a Llama, Idefics 2's a Mistral."""
    llama = json.loads((Path(__file__).parent / "small_configs" / "llama.json").read_text())[0]
    text = {key: value for key, value in llama.items() if key != "model_type"}
    assert read_config({"model_type": "llava", "text_config": text}, model_id="llava").model_type == "llama"
    assert read_config({"model_type": "idefics2", "text_config": text}, model_id="idefics2").model_type == "mistral"


def test_a_multimodal_type_without_a_text_part_says_so() -> None:
    with pytest.raises(InputError, match="has no text part"):
        read_config({"model_type": "idefics2", "hidden_size": 64}, model_id="idefics2")
