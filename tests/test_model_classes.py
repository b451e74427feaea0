"""What `architectures` says counts: heads, draft models, other families, experts in dense families."""

from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.derive.derived_spec import derive_spec
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

transformers.logging.set_verbosity_error()
DENSE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 320,
    "tie_word_embeddings": False,
}
STEMS = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma": "Gemma", "phi3": "Phi3"}
HEADS = {
    "Model": AutoModel,
    "ForSequenceClassification": AutoModelForSequenceClassification,
    "ForTokenClassification": AutoModelForTokenClassification,
}


def read(model_type: str, name: str, **more: Any) -> ModelSpec:
    return read_config({**DENSE, "model_type": model_type, "architectures": [name], **more}, model_id="x")


def total(spec: ModelSpec) -> int:
    return spec.ops(Workload()).total("params")


@pytest.mark.parametrize("model_type", STEMS)
@pytest.mark.parametrize("ending", HEADS)
@pytest.mark.parametrize("labels", [1, 5])
def test_heads_are_those_of_transformers(model_type: str, ending: str, labels: int) -> None:
    names = {str(index): index for index in range(labels)}
    with torch.device("meta"):
        config = CONFIG_MAPPING[model_type](**DENSE, num_labels=labels, pad_token_id=0)
        model = HEADS[ending].from_config(config)
    name = STEMS[model_type] + ending
    assert type(model).__name__ == name
    spec = read(model_type, name, id2label={value: key for key, value in names.items()})
    assert total(spec) == sum(tensor.numel() for tensor in model.parameters())
    assert any(note.code == "architecture" and name in note.text for note in spec.notes)


def test_a_process_reward_model_has_two_maps_with_biases() -> None:
    hidden = DENSE["hidden_size"]
    with_head = total(read("qwen2", "Qwen2ForProcessRewardModel"))
    assert with_head - total(read("qwen2", "Qwen2Model")) == hidden * hidden + hidden + 2 * hidden + 2


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "LlamaLMHeadModel"])
def test_language_models_keep_their_head(name: str) -> None:
    assert total(read("llama", name)) == total(read_config({**DENSE, "model_type": "llama"}, model_id="x"))


def test_eagle3_of_llama() -> None:
    """vLLM 0.33.0 llama_eagle3.py: fc 3 H x H, q, k, v of 2 H in the first layer, a norm more, an own LM head."""
    hidden, kv = 64, 2 * 16
    layer = 2 * hidden * (hidden + 2 * kv) + hidden * hidden + 3 * hidden * 128 + 3 * hidden
    expected = 320 * hidden + 3 * hidden * hidden + layer + hidden + 100 * hidden
    spec = read("llama", "LlamaForCausalLMEagle3", num_hidden_layers=1, draft_vocab_size=100)
    assert total(spec) == expected
    assert not [note for note in spec.notes if note.code == "unread-keys"]


DRAFTS = ["EagleLlamaForCausalLM", "DeepSeekMTPModel", "Qwen3NextMTP", "DFlashDraftModel", "MedusaModel"]


@pytest.mark.parametrize("name", [*DRAFTS, "MLPSpeculatorPreTrainedModel", "Eagle3Qwen3ForCausalLM"])
def test_other_drafts_are_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=name):
        read("llama", name)


@pytest.mark.parametrize("name", ["LlamaForRewardModel", "LlamaForMaskedLM"])
def test_unknown_heads_are_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=name):
        read("llama", name)


def test_another_family_is_named() -> None:
    notes = [note.text for note in read("llama", "Qwen2ForCausalLM").notes if note.code == "architecture"]
    assert notes == [
        "architectures names Qwen2ForCausalLM, but model_type is llama: read as llama; its counts may differ"
    ]


@pytest.mark.parametrize("key", ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"])
@pytest.mark.parametrize("model_type", STEMS)
def test_dense_families_refuse_experts(model_type: str, key: str) -> None:
    with pytest.raises(InputError, match=f"{key} is 8"):
        read(model_type, "", **{key: 8})


@pytest.mark.parametrize("value", [None, 0, 1])
def test_no_experts_are_no_experts(value: int | None) -> None:
    spec = read("llama", "LlamaForCausalLM", num_experts=value, decoder_sparse_step=1, num_experts_per_tok=2)
    assert not [note for note in spec.notes if note.code == "unread-keys"]


QUIET = {"use_sliding_window": False, "max_window_layers": 28, "attention_bias": False, "use_rmsnorm": True}


@pytest.mark.parametrize("model_type", STEMS)
@pytest.mark.parametrize("key", [*QUIET, "decoder_sparse_step", "mlp_only_layers"])
def test_keys_that_change_nothing_are_not_named(model_type: str, key: str) -> None:
    spec = read(model_type, "", **{key: {**QUIET, "decoder_sparse_step": 1, "mlp_only_layers": []}[key]})
    assert not [note for note in spec.notes if note.code == "unread-keys"]


@pytest.mark.parametrize("given", [{"use_sliding_window": True}, {"use_rmsnorm": False}])
def test_keys_that_may_change_something_are_named(given: dict[str, bool]) -> None:
    (key,) = given
    assert any(note.code == "unread-keys" and key in note.text for note in read("llama", "", **given).notes)


OTHER = {"architectures": ["Grok1ForCausalLM"], "model_type": "git", "hidden_size": 64}


def test_from_architecture_refuses_another_class() -> None:
    with pytest.raises(InputError, match="GitForCausalLM"):
        derive_spec(OTHER, "x")


def test_from_architecture_refuses_sizes_that_are_not_used() -> None:
    with pytest.raises(InputError, match="num_local_experts"):
        derive_spec({"model_type": "git", "hidden_size": 64, "num_local_experts": 8}, "x")
    flat = {"model_type": "llava", "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40}
    with pytest.raises(InputError, match="hidden_size"):
        derive_spec(flat, "x")


def test_models_without_lm_head_are_not_verified_as_language_models() -> None:
    with pytest.raises(InputError, match="MistralModel"):
        meta_model({**DENSE, "model_type": "mistral", "architectures": ["MistralModel"]})
