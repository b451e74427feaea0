"""What vLLM and SGLang serve: each architecture that generates text is read, or refused by name with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import mistyped
from sparsecalc.read.config import ALIASES, families, read_config
from sparsecalc.read.unread import refused_architectures

DATA = Path(__file__).resolve().parent.parent / "data"
SERVED: dict[str, dict[str, Any]] = json.loads((DATA / "served_architectures.json").read_text())["architectures"]
TEXT = [
    (name, model_type)
    for name, entry in SERVED.items()
    if entry["kind"] == "text"
    for model_type in entry["model_types"]
]


def answer(model_type: Any, architecture: str = "") -> str:
    """What a config that says its type and no more is told: a reader asks for sizes, others name the type."""
    with pytest.raises(InputError) as caught:
        read_config({"model_type": model_type, "architectures": [architecture]}, model_id="x")
    return str(caught.value)


@pytest.mark.parametrize(("architecture", "model_type"), TEXT)
def test_what_generates_text_is_read_or_refused_by_name(architecture: str, model_type: str) -> None:
    """A type without a reader that transformers has goes by its own class, and is told so."""
    said = answer(model_type, architecture)
    assert "unknown model_type" not in said or "--from-architecture" in said


def test_every_text_architecture_has_a_type_and_an_engine() -> None:
    assert len(TEXT) > 150
    kinds = {"text", "multimodal", "embedding", "reward", "classification", "draft"}
    for name, entry in SERVED.items():
        assert entry["kind"] in kinds
        assert set(entry["engines"]) <= {"vllm", "sglang"}
        assert entry["engines"]
        assert entry["model_types"] or entry["kind"] != "text", name


def test_a_refusal_says_why_and_what_to_do() -> None:
    assert refused_architectures()
    for name, entry in refused_architectures().items():
        assert set(entry) == {"reason", "what_to_do", "source"}
        assert all(entry.values())
        said = answer(name)
        assert entry["reason"] in said
        assert entry["what_to_do"] in said


def test_nothing_is_refused_that_has_a_reader() -> None:
    assert not set(refused_architectures()) & {*families(), *ALIASES}


@pytest.mark.parametrize(
    "other",
    ["yuan3", "glx", "transformer", "gits", "deepseek_v5", "qwen5", "kimi", "gemma5_text", "mamba3", "step9_text"],
)
def test_another_model_is_not_taken_for_a_slip(other: str) -> None:
    assert "Did you mean" not in answer(other)


def test_a_slip_is() -> None:
    for typed, meant in {
        "mistrall": "mistral",
        "Qwen3": "qwen3",
        "gpt-neox": "gpt_neox",
        "granitemoehybird": "",
    }.items():
        assert f"Did you mean '{meant}" in mistyped(typed, families())


def test_from_architecture_is_offered_only_where_transformers_has_the_type() -> None:
    assert "--from-architecture" not in answer("never_heard_of")
    assert "transformers lacks it too" in answer("never_heard_of")
    assert "--from-architecture" in answer("biogpt")
    assert "has no text part" in answer("qwen3_vl")


def test_a_class_may_be_refused_where_its_type_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"reason": "not a decoder", "what_to_do": "Name another", "source": "a test"}
    monkeypatch.setattr("sparsecalc.read.unread.refused_architectures", lambda: {"OddForCausalLM": entry})
    assert "'OddForCausalLM' is not counted: not a decoder" in answer("llama", "OddForCausalLM")
