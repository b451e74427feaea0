"""Families that transformers lacks, held against published totals, against families that it has, and by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsecalc.core.components import Component
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import params
from sparsecalc.library.formats import precision_for
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

FOLDER = Path(__file__).parent / "real_configs"


def config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def spec(given: dict[str, Any] | str) -> ModelSpec:
    return read_config(config(given) if isinstance(given, str) else given, model_id="x")


# Of the models that stand below as code no config.json was at hand: their sizes are recalled from the papers, cards and
# code that are named, and so are their totals. None was solved from a total.
LING_2_5 = {
    **{"model_type": "bailing_hybrid", "architectures": ["BailingMoeV2_5ForCausalLM"], "vocab_size": 157184},
    **{"hidden_size": 8192, "intermediate_size": 18432, "num_hidden_layers": 80, "first_k_dense_replace": 4},
    **{"num_attention_heads": 64, "num_key_value_heads": 64, "head_dim": 128, "use_qk_norm": True},
    **{"layer_group_size": 8, "group_norm_size": 8, "moe_intermediate_size": 2048, "num_experts": 256},
    **{"num_experts_per_tok": 8, "num_shared_experts": 1, "q_lora_rank": 1536, "kv_lora_rank": 512},
    **{"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
}
"""Ling-2.5-1T, recalled: 80 layers of 8192, latent attention at the end of each group of 8."""

JET_NEMOTRON_2B = {
    **{"model_type": "jet_nemotron", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28},
    **{"num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True},
    "layer_types": ["attn" if layer in (15, 20) else "swa" if layer in (21, 22) else "jet" for layer in range(28)],
    "efficient_attention_config": {
        "jet": {"expand_v": 2.6667, "num_heads": 12, "head_dim": 96, "conv_size": 4, "dconv_generator_reduction": 8},
        "swa": {"window_size": 1152},
    },
}
"""Jet-Nemotron-2B (arXiv:2508.15884, appendix): 12 heads of 96 for keys and 256 for values in each JetBlock."""

K2_HORIZON_DENSE = {
    **config("k2-horizon-mova-36b"),
    **{"attention_gate_func": None, "intermediate_size": 10240, "num_hidden_layers": 36, "num_experts": 0},
    **{"mlp_only_layers": list(range(36)), "mova_num_experts": 0, "num_shared_experts": 0, "moe_gate_bias": False},
    **{"moe_intermediate_size": 0, "num_experts_per_tok": 0, "mova_num_experts_per_tok": 0},
}
"""K2-Horizon-3.7B."""

LONGCAT_2 = {
    **{"architectures": ["LongcatCausalLM"], "vocab_size": 163840, "hidden_size": 8192, "num_layers": 38},
    **{"ffn_hidden_size": 12288, "expert_ffn_hidden_size": 2048, "num_attention_heads": 64, "kv_lora_rank": 512},
    **{"q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "moe_topk": 12},
    **{"n_routed_experts": 768, "zero_expert_num": 128, "use_longcat_dsa": True, "index_n_heads": 32},
    **{"index_head_dim": 128, "index_topk": 2048, "index_k_norm_type": "rms", "cli_factor": 2, "oe_split_num": 4},
    **{"oe_neighbor_num": 5, "oe_vocab_size_ratio": 100.567},
}
"""LongCat-2.0 by the defaults of its config class; its config names no model_type."""

STEP_AUDIO_EDITX = {
    **{"model_type": "step1", "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 48},
    **{"num_attention_groups": 4, "num_hidden_layers": 32, "vocab_size": 74752},
}
"""Step-Audio-EditX, recalled."""

OPENPANGU_ULTRA = {
    **{"model_type": "pangu_ultra_moe", "hidden_size": 7680, "intermediate_size": 18432, "num_hidden_layers": 61},
    **{"num_attention_heads": 128, "attention_q_lora_dim": 1536, "attention_kv_lora_dim": 512, "vocab_size": 153600},
    **{"attention_qk_dim": 128, "attention_qk_rope_dim": 64, "attention_v_dim": 128, "num_dense_layers": 3},
    **{"num_routed_experts": 256, "num_shared_experts": 1, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
    **{"sandwich_norm": True, "tie_word_embeddings": False},
}
"""openPangu-Ultra-MoE-718B, recalled."""

BILLION = 1e9
PUBLISHED = [
    ("kimi-k3", 2.8e12, 1e11),  # "2.8T total", Moonshot's model card
    ("longcat-flash-lite", 68.5 * BILLION, 0.1 * BILLION),  # "68.5B", arXiv:2601.21204
    ("grok-2", 270 * BILLION, BILLION),  # "270B", xAI's announcement of the weights
    ("ring-mini-linear-2.0", 16.4 * BILLION, 0.1 * BILLION),  # "16.4B", inclusionAI's model card
    ("step3", 316 * BILLION, BILLION),  # "316B language model", arXiv:2507.19427
    ("mimo-v2.5-pro", 1.02e12, 1e10),  # "1.02T", Xiaomi's model card
    ("step-5-preview", 600 * BILLION, 10 * BILLION),  # "600B", StepFun's announcement
    ("k2-horizon-mova-36b", 37.44 * BILLION, 0.01 * BILLION),  # "37.44B stored parameters", vLLM recipes
    (K2_HORIZON_DENSE, 5.06 * BILLION, 0.01 * BILLION),  # "5.06B stored parameters", vLLM recipes
    (LING_2_5, 1e12, 1e11),  # "1T", inclusionAI's model card
    (JET_NEMOTRON_2B, 1.96 * BILLION, 0.01 * BILLION),  # "1.96B", arXiv:2508.15884, table 1
    (STEP_AUDIO_EDITX, 3 * BILLION, BILLION),  # "3B", StepFun's model card
    (OPENPANGU_ULTRA, 718 * BILLION, 2 * BILLION),  # "718B", Huawei's model card
]
"""Totals as published, each with the unit of its last digit; those of model cards and announcements are recalled."""

ACTIVE = [
    ("kimi-k3", 104 * BILLION, BILLION),  # "104B active", Moonshot's model card
    ("deepseek-v4.1-flash", 16 * BILLION, BILLION),  # "16B per output token", vllm-project/recipes pull request 959
    ("mimo-v2.5-pro", 42 * BILLION, 2 * BILLION),  # "42B active"
    ("step-5-preview", 27 * BILLION, BILLION),  # "27B active"
    (LING_2_5, 63 * BILLION, 2 * BILLION),  # "63B active"
    (LONGCAT_2, 56 * BILLION, BILLION),  # "33B to 56B", Meituan's announcement: at most
    ("k2-horizon-mova-36b", 5.95 * BILLION, 0.65 * BILLION),  # "5.95B", with the input table
]
"""Active parameters as published, mostly without the input table; those of cards and announcements are recalled."""


@pytest.mark.parametrize(("given", "published", "unit"), PUBLISHED)
def test_the_published_total(given: dict[str, Any] | str, published: float, unit: float) -> None:
    found = spec(given)
    assert abs(params(found).total - published) <= unit
    assert found.checked_by == "formula"
    assert not [note for note in found.notes if note.code == "unread-keys"]


@pytest.mark.parametrize(("given", "published", "unit"), ACTIVE)
def test_the_published_active_parameters(given: dict[str, Any] | str, published: float, unit: float) -> None:
    assert abs(params(spec(given)).active_excl_embedding - published) <= unit


def test_deepseek_v4_1_without_its_tables_is_the_published_backbone() -> None:
    """552B (tech report) beside 2 tables of 384,006,168 and 384,016,682 rows of 256 features."""
    found = params(spec("deepseek-v4.1-flash"))
    tables = 256 * (384_006_168 + 384_016_682)
    assert found.by_component["embedding"] == tables + 129_280 * 5120
    assert round((found.total - tables) / BILLION) == 552
    assert found.active_by_component["embedding"] == 129_280 * 5120 + 2 * 24 * 256  # 24 rows of each table


def test_deepseek_v4_1_keeps_the_far_context_in_four_layers() -> None:
    """Three sources that pool two tokens and one that keeps each; beside them a window of 128 in 40 layers."""
    step = spec("deepseek-v4.1-flash").ops(Workload.decode(4096))
    assert step.total("kv_elements") == 512 * (40 * 128 + 3 * 2048 + 4096)
    assert step.total("index_elements") == 128 * (3 * 2048 + 4096)


def test_kimi_k3_caches_latents_in_24_layers_and_states_in_69() -> None:
    step = spec("kimi-k3").ops(Workload.decode(1000))
    assert step.total("kv_elements") == 24 * 1000 * (512 + 64)
    assert step.total("state_elements") == 69 * (96 * 128 * 128 + 3 * 96 * 128 * 4)


def test_kimi_k3_mixes_one_more_stream_after_each_block() -> None:
    """Before the sublayers of layers 0 to 11: one stream, then two; of layer 12, the first of a block: two, then 3."""
    groups = spec("kimi-k3").layer_groups
    at = {place: group.layer for group in groups for place in group.positions}
    streams = {
        place: [part.in_features for part in at[place].extras if part.kind == "product"] for place in (0, 1, 12, 13, 92)
    }
    assert streams == {0: [1, 2], 1: [2, 2], 12: [2, 3], 13: [3, 3], 92: [9, 9]}


def test_mimo_v2_reads_the_flash_model_as_its_own_family_does() -> None:
    flash = config("mimo-v2-flash")
    own, read = spec(flash), spec({**flash, "model_type": "mimo_v2"})
    assert read.ops(Workload()).by_component("params") == own.ops(Workload()).by_component("params")
    assert read.ops(Workload.decode(500)).total("flops") == own.ops(Workload.decode(500)).total("flops")


def test_longcat_flash_lite_without_tables_is_longcat_flash() -> None:
    given = {key: value for key, value in config("longcat-flash-lite").items() if not key.startswith(("ngram", "emb_"))}
    own, plain = spec(given), spec({**given, "model_type": "longcat_flash"})
    assert own.ops(Workload()).by_component("params") == plain.ops(Workload()).by_component("params")


def test_longcat_flash_lite_adds_tables_and_maps() -> None:
    """12 tables of 78 * 131072 + 2 i + 1 rows and 256 features, each with a map to 3072."""
    given = config("longcat-flash-lite")
    plain = spec({key: value for key, value in given.items() if not key.startswith(("ngram", "emb_"))})
    rows = sum(78 * 131_072 + 2 * index + 1 for index in range(12))
    assert params(spec(given)).total - params(plain).total == 256 * rows + 12 * 256 * 3072


def test_longcat_2_has_an_indexer_in_the_first_attention_of_each_layer() -> None:
    """q 1536 x 32 * 128, k 8192 x 128 with a norm of 128, and 8192 x 32 weights, in 38 layers."""
    dense = spec({**LONGCAT_2, "use_longcat_dsa": False})
    indexer = 1536 * 32 * 128 + 8192 * 128 + 128 + 8192 * 32
    assert params(spec(LONGCAT_2)).total - params(dense).total == 38 * indexer
    step = spec(LONGCAT_2).ops(Workload.decode(5000))
    assert step.total("kv_elements") == 76 * 5000 * 576
    assert step.total("index_elements") == 38 * 5000 * 128


def puzzle(changed: dict[str, Any]) -> ModelSpec:
    """Nemotron 3 Super as blocks, with `changed` in its first layer of experts."""
    given = config("nemotron-3-super")
    names = {"M": "mamba", "*": "attention", "E": "moe"}
    blocks = [{"block_type": names[letter]} for letter in given["hybrid_override_pattern"]]
    blocks[1] |= changed
    return spec({**given, "model_type": "nemotron_h_puzzle", "block_configs": blocks})


def test_a_puzzle_of_equal_blocks_is_the_model_it_was_made_of() -> None:
    own = spec("nemotron-3-super").ops(Workload()).by_component("params")
    assert puzzle({}).ops(Workload()).by_component("params") == own


def test_a_block_changes_its_own_layer_only() -> None:
    """512 experts of 2 * 1024 * 2688 become 256 of 2 * 1024 * 1344, of which 8 instead of 22 are active."""
    whole, small = (
        puzzle({}),
        puzzle({"n_routed_experts": 256, "moe_intermediate_size": 1344, "num_experts_per_tok": 8}),
    )
    before, after = (one.ops(Workload()).by_component("params") for one in (whole, small))
    assert before["routed_experts"] - after["routed_experts"] == 2 * 1024 * (512 * 2688 - 256 * 1344)
    assert before["router"] - after["router"] == 256 * 4096
    active = params(whole).active - params(small).active
    assert active == 2 * 1024 * (22 * 2688 - 8 * 1344) + 256 * 4096


@pytest.mark.parametrize("block", [{"block_type": "rnn"}, {"block_type": None}, 3])
def test_bad_blocks_of_a_puzzle_are_refused(block: Any) -> None:
    given = {**config("nemotron-3-super"), "model_type": "nemotron_h_puzzle", "block_configs": [block]}
    with pytest.raises(InputError):
        spec(given)


def test_the_original_llava_is_its_language_model() -> None:
    found = spec("llava-v1.5-7b-original")
    assert params(found).total == 6_738_415_616  # Llama 2 7B
    assert found.checked_by == "transformers"


def test_a_real_git_model_is_not_grok() -> None:
    with pytest.raises(InputError, match="model_type 'git'"):
        spec({"model_type": "git", "hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12})


def test_pangu_pro_moe_stores_its_sinks() -> None:
    """128 sinks of (64 + 32) key and 48 value features for each of 2 key-value heads, and a norm of the keys."""
    given = {
        **{"model_type": "PanguProMoEV2", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320, "qk_nope_dim": 64, "qk_rope_dim": 32},
        **{"v_channels": 48, "param_sink_number": 128, "param_sink_with_value": True, "n_routed_experts": 4},
        **{"num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1},
    }
    attention = 64 * 4 * 96 + 64 * 2 * (96 + 48) + 4 * 48 * 64 + 128 * 2 * (96 + 48)
    found = spec(given).ops(Workload()).by_component("params")
    assert found["attention"] == 2 * attention
    assert found["norm"] == 2 * (2 * 64 + 96) + 64


def test_step_5_counts_the_tensors_of_the_released_indexer() -> None:
    """23 layers, each with q 4096 x 4096, k and z 256 x 4096, 16 weights of heads, norms of 768 and 64 factors."""
    given = config("step-5-preview")
    plain = json.loads(json.dumps(given))
    plain["text_config"]["sparse_config"]["enabled"] = False
    indexer = 4096 * 4096 + 2 * 256 * 4096 + 16 * 4096 + 3 * 256 + 64
    assert params(spec(given)).total - params(spec(plain)).total == 23 * indexer


# Kimi-K3: "1.56 TB", experts "93% of the checkpoint's bytes" (turboquant-mlx#70, colibri#676); DeepSeek-V4.1-Flash:
# 510,313,353,565 B (sparkring#260), of which 203 GB Engram (colibri#1453); both with their vision parts, V4.1's with
# its three draft layers too.
@pytest.mark.parametrize(
    ("name", "least", "most", "part", "share"),
    [
        ("kimi-k3", 1_555e9, 1_565e9, "routed_experts", 0.93),
        ("deepseek-v4.1-flash", 0.98 * 510_313_353_565, 510_313_353_565, "embedding", 204.1e9 / 501.3e9),
    ],
)
def test_the_checkpoint_is_as_large_as_the_released_one(
    name: str, least: float, most: float, part: Component, share: float
) -> None:
    found = spec(name)
    stored = precision_for(found).weight_bytes
    ops = found.ops(Workload())
    assert least < (total := ops.sum(stored)) < most
    assert ops.sum(stored, lambda op: op.component == part) / total == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("name", ["deepseek-v4.1-flash", "kimi-k3", "k2-horizon-mova-36b", "step-5-preview", "step3"])
def test_a_prompt_is_the_sum_of_its_steps(name: str) -> None:
    """Scores, values and indexers of 40 positions at once, and one after the other."""
    found = spec(name)

    def scores(work: Workload) -> float:
        return found.ops(work).sum("flops", lambda op: op.kind == "attention")

    one_by_one = (Workload.decode(length, latent_attention="expanded") for length in range(1, 41))
    assert scores(Workload.prefill(40)) == sum(map(scores, one_by_one))


@pytest.mark.parametrize("name", ["deepseek-v4.1-flash", "kimi-k3", "step-5-preview", "longcat-flash-lite"])
def test_sizes_may_be_arrays(name: str) -> None:
    found, lengths = spec(name), [1, 7, 128, 129, 9000]
    step = found.ops(Workload.decode(np.array(lengths, dtype=float)))
    for column in ("flops", "kv_elements", "index_elements", "cache_read_elements"):
        together = sum(np.broadcast_to(getattr(op, column) * op.layers, (len(lengths),)) for op in step)
        assert list(np.asarray(together)) == [found.ops(Workload.decode(length)).sum(column) for length in lengths]
