"""Repositories of built-in specs: found under their ids without the Hub, in the formats that each is published in."""

import json

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.decide.show import show
from sparsecalc.estimate.costs import params
from sparsecalc.library.checkpoints import FACTS_KEY, built_in_checkpoint, hub_ids
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import LoadedModel, load_model

FACTS = {
    path.stem: json.loads(path.read_text())[FACTS_KEY]
    for path in sorted((data_folder() / "model_specs").glob("*.json"))
}
CHECKPOINTS = [(name, number) for name, facts in FACTS.items() for number in range(len(facts.get("checkpoints", ())))]
UNPUBLISHED = {"gpt-3-175b"}


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> bytes:
        raise InputError(f"the Hub was asked for {name}")

    monkeypatch.setattr("sparsecalc.library.hub.fetch_config", refuse)


@pytest.mark.parametrize("name", FACTS)
def test_every_published_spec_says_in_which_formats_and_by_what_source(name: str) -> None:
    checkpoints = FACTS[name].get("checkpoints", [])
    assert bool(checkpoints) == (name not in UNPUBLISHED)
    assert all(each["source"] and each["formats"] for each in checkpoints)
    assert [each["hub_id"] for each in checkpoints[:1]] == ([FACTS[name]["hub_id"]] if checkpoints else [])


@pytest.mark.parametrize(("name", "number"), CHECKPOINTS)
def test_a_checkpoint_is_found_by_its_id_in_any_case(name: str, number: int) -> None:
    checkpoint = FACTS[name]["checkpoints"][number]
    for asked in (checkpoint["hub_id"], checkpoint["hub_id"].upper()):
        found = load_model(asked)
        assert (found.origin, found.facts["hub_id"].lower()) == ("built-in", asked.lower())
        assert any("the network was not used" in note.text for note in found.notes)
    if not {"vocab_size", "tie_word_embeddings"} & set(checkpoint.get("config", {})):
        assert params(found.spec) == params(load_model(name).spec)
    for key, value in {"quantization_config": None, **checkpoint}.items():
        if number and key == "quantization_config" and (value or key in checkpoint.get("config", {})):
            assert found.config.get("quantization_config") == value


def test_ids_of_the_same_sizes_lead_to_one_spec() -> None:
    groups = read_data("hub_ids.json")["groups"]
    names = [name.lower() for group in groups for name in group["ids"]]
    own = [each["hub_id"].lower() for facts in FACTS.values() for each in facts.get("checkpoints", ())]
    assert len(names) == len(set(names)) == len(hub_ids())
    assert len(own) == len(set(own))
    assert not set(own) & set(names), "a repository has one home"
    assert {group["spec"] for group in groups} <= set(FACTS)
    assert {group["why"] for group in groups} == set(read_data("hub_ids.json")["why"])


@pytest.mark.parametrize(
    ("asked", "spec"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("qwen/qwen3-14b", "qwen3-14b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
    ],
)
def test_common_ids(asked: str, spec: str) -> None:
    found = load_model(asked)
    assert found.spec.id == spec
    assert f"{asked} is the built-in {spec}" in found.notes[0].text


def test_an_id_that_no_spec_publishes_goes_to_the_hub() -> None:
    assert built_in_checkpoint("nobody/nothing") is None
    with pytest.raises(InputError, match="nobody/nothing"):
        load_model("nobody/nothing")


def _scales(loaded: LoadedModel) -> float:
    """Scales of 4 bytes in a checkpoint in blocks of FP8: what it holds beyond a byte for each weight of a matrix."""
    rows, precision = loaded.spec.ops(Workload()), precision_for(loaded.spec)
    matrices = sum(
        op.layers * op.matrices * op.rows * op.cols for op in rows if op.component in ("attention", "dense_ffn")
    )
    return (rows.sum(precision.weight_bytes) - matrices - 2 * (rows.total("params") - matrices)) / 4


@pytest.mark.parametrize(
    ("fp8", "elements", "bf16"),
    [
        ("Qwen/Qwen3-0.6B-FP8", 751_659_264, 751_632_384),
        ("Qwen/Qwen3-1.7B-FP8", 2_031_825_920, 2_031_739_904),
        ("Qwen/Qwen3-8B-FP8", 8_191_159_296, 8_190_735_360),
    ],
)
def test_block_scales_are_those_that_the_hub_counts(fp8: str, elements: int, bf16: int) -> None:
    """Totals of the repositories and of their BF16 twins: llmfit@a3e0eb27 hf_models.json (HF API safetensors.total)."""
    assert _scales(load_model(fp8)) == elements - bf16


@pytest.mark.parametrize(
    ("nvfp4", "elements", "beside", "scales"),
    [
        ("nvidia/Qwen3-8B-NVFP4", 4_717_851_648, 0, 0),
        ("nvidia/Qwen3-14B-NVFP4", 8_162_278_400, 0, 0),
        ("nvidia/Qwen3-32B-NVFP4", 17_159_312_384, 0, 0),
        ("nvidia/Qwen3-30B-A3B-NVFP4", 15_583_623_168, 0, 0),
        ("nvidia/MiniMax-M2.5-NVFP4", 116_349_510_656, 0, 0),
        ("nvidia/MiniMax-M2.7-NVFP4", 116_349_510_656, 0, 0),
        ("nvidia/Gemma-4-26B-A4B-NVFP4", 14_386_941_232, 572_792_112, 0),
        ("nvidia/Gemma-4-31B-IT-NVFP4", 20_868_591_152, 575_741_232, 0),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4", 18_237_772_608, 23 * 128, 1),
        ("nvidia/GLM-5-NVFP4", 435_238_854_912, 753_864_139_008 - 743_911_199_232, 1),
    ],
)
def test_what_is_packed_is_what_the_hub_counts(nvfp4: str, elements: int, beside: int, scales: int) -> None:
    """Two weights of NVFP4 in a byte; the totals of the last two count the scales too, one for 16 weights.

    `beside`: the vision tower of Gemma 4, Nemotron's bias buffers, GLM-5's MTP layer and buffers. Totals:
    llmfit@a3e0eb27 hf_models.json (HF API safetensors.total).
    """
    rows = load_model(nvfp4).spec.ops(Workload())
    packed = sum(
        op.layers * op.rows * op.cols * count for op in rows for fmt, count in op.stored_as if fmt.id == "nvfp4"
    )
    assert rows.total("params") - packed // 2 + scales * packed // 16 + beside == elements


def test_scales_of_experts_are_those_that_the_hub_counts() -> None:
    """Llama 4 Maverick: 401,649,841,664 elements in FP8 and 401,583,781,376 in BF16, on the Hub (llmfit@a3e0eb27)."""
    fp8 = load_model("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8").spec
    rows = fp8.ops(Workload())
    small = sum(
        op.layers * op.rows * op.cols * count for op in rows for fmt, count in op.stored_as if fmt.id == "fp8-channel"
    )
    scales = rows.sum(precision_for(fp8).weight_bytes) - small - 2 * (rows.total("params") - small)
    assert scales == 2 * (401_649_841_664 - 401_583_781_376), "compressed-tensors writes them in BF16"


def test_the_download_has_the_parts_beside_the_language_model() -> None:
    whole = show("qwen3.5-27b").model
    assert (whole.download_bytes, whole.download_is_whole) == (2 * 27_781_427_952, True)
    part = show("deepseek-v3").model
    assert part.download_is_whole is False
    assert part.download_bytes == show("deepseek-v3").memory.weights_bytes
    assert show("gpt-3-175b").model.download_bytes is None
    assert show("qwen2.5-0.5b+2:4").model.download_bytes is None
    tied = show("qwen3-0.6b").model
    assert tied.download_bytes == 2 * 751_632_384, "the head is stored beside the tied table"


def test_the_download_does_not_follow_the_dtype_asked_for() -> None:
    from sparsecalc.decide.question import ask

    asked = show("gpt-oss-20b", ask(dtype="bf16"))
    assert asked.model.download_bytes == show("gpt-oss-20b").model.download_bytes
    assert asked.memory.weights_bytes > 2 * (asked.model.download_bytes or 0)
