"""Families that engines serve and transformers lacks: published totals, and what their parts cost by hand."""

from contextlib import suppress
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import params
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config


def plain(model_type: str, sizes: str, **more: Any) -> dict[str, Any]:
    """A config by its usual keys; sizes: hidden, intermediate, layers, heads, key-value heads, vocabulary."""
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    numbers = dict(zip((*keys, "vocab_size"), map(int, sizes.split()), strict=True))
    return {"model_type": model_type, **numbers, "tie_word_embeddings": False, **more}


def spec(config: dict[str, Any]) -> ModelSpec:
    return read_config(config, model_id=str(config["model_type"]))


def rwkv7(hidden: int, layers: int, decay: int, mix: int, gate: int) -> dict[str, Any]:
    ranks = {"decay_low_rank_dim": decay, "a_low_rank_dim": decay, "v_low_rank_dim": mix, "gate_low_rank_dim": gate}
    return {"model_type": "rwkv7", "hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": 65536, **ranks}


def repeated(*pairs: tuple[int, int]) -> list[int]:
    return [value for value, times in pairs for _ in range(times)]


OPENELM = {
    **{"model_type": "openelm", "model_dim": 2048, "num_transformer_layers": 28, "head_dim": 64, "vocab_size": 32000},
    **{"ffn_dim_divisor": 256, "ffn_with_glu": True, "normalize_qk_projections": True, "num_gqa_groups": 4},
    **{"share_input_output_layers": True, "qkv_multipliers": [0.5, 1.0]},
    "num_query_heads": repeated((16, 3), (20, 7), (24, 8), (28, 6), (32, 4)),
    "num_kv_heads": repeated((4, 3), (5, 7), (6, 8), (7, 6), (8, 4)),
    "ffn_multipliers": [
        *(0.5, 0.63, 0.76, 0.89, 1.02, 1.15, 1.28, 1.41, 1.54, 1.67, 1.8, 1.93, 2.06, 2.19),
        *(2.31, 2.44, 2.57, 2.7, 2.83, 2.96, 3.09, 3.22, 3.35, 3.48, 3.61, 3.74, 3.87, 4.0),
    ],
}
LLADA = {
    **{"model_type": "llada", "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "block_type": "llama"},
    **{"mlp_hidden_size": 12288, "vocab_size": 126464, "embedding_size": 126464, "weight_tying": False},
}
LLADA_MOE = plain(
    "llada",
    "2048 8192 16 16 16 157184",
    num_experts=64,
    num_experts_per_tok=8,
    expert_intermediate_size=1024,
    qk_layernorm=True,
)
LLADA_2 = plain(
    "llada2_moe",
    "2048 5120 20 16 4 157184",
    **{"head_dim": 128, "num_experts": 256, "num_experts_per_tok": 8, "num_shared_experts": 1},
    **{"moe_intermediate_size": 512, "first_k_dense_replace": 1},
)
PARAM_2 = plain(
    "param2moe",
    "2048 9216 21 32 8 128008",
    **{"head_dim": 64, "num_experts": 64, "num_experts_per_tok": 6, "num_shared_experts": 2, "use_qk_norm": True},
    **{"moe_intermediate_size": 2048, "moe_shared_expert_intermediate_size": 4096, "tie_word_embeddings": True},
)
ALICE = {
    **{"model_type": "alice_ai", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 129024, "head_dim": 256},
    **{"num_attention_heads": 16, "num_key_value_heads": 2, "num_experts": 512, "num_experts_per_tok": 10},
    **{"moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "linear_num_key_heads": 32},
}
GIGACHAT = {
    **{"model_type": "gigachat3_5", "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 24},
    **{"num_hidden_layers": 4, "num_attention_heads": 4, "n_shared_experts": 1, "n_routed_experts": 8},
    **{"num_experts_per_tok": 2, "first_k_dense_replace": 1, "vocab_size": 320, "linear_num_key_heads": 2},
    **{"linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "q_lora_rank": 24},
    **{"kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16},
    **{"full_attention_layers": [3]},
}
XVERSE = {"num_experts": 64, "moe_top_k": 6, "num_shared_experts": 2}
YUAN_M32 = {
    **{"attention_projection_size": 4096, "tie_word_embeddings": True},
    "moe_config": {"moe_num_experts": 32, "moe_top_k": 2, "ffn_hidden_size": 8192},
}
FLASH = {"tie_word_embeddings": True, "sliding_window": 512, "mamba_dt_rank": 160}

PUBLISHED: list[tuple[str, dict[str, Any], float, float]] = [
    # No config.json was at hand. The sizes are recalled from the releases, their remote code, and public ports that
    # name the checkpoint; where no other source stands beside a row, its total is recalled from the model's card. None
    # was solved from the total. A total rounded to one or two digits is a check of the shape, not of each size.
    ("Telechat3-36B", plain("telechat3", "6144 24576 64 48 8 131072", head_dim=128), 36e9, 0.5e9),
    ("IQuest-Coder-40B", plain("iquestcoder", "5120 27648 80 40 8 76800", head_dim=128), 40e9, 0.5e9),
    ("IQuest-Coder-40B-Loop", plain("iquestloopcoder", "5120 27648 80 40 8 76800", loop_num=2), 40e9, 0.5e9),
    ("Nanbeige4.2-3B", plain("nanbeige", "3072 10752 22 48 8 166144", head_dim=128, num_loops=2), 4e9, 0.5e9),
    ("OpenELM-1.1B", OPENELM, 1.08e9, 0.005e9),  # arXiv:2404.14619, table 9
    ("solar-pro-preview", plain("solar", "5120 17920 64 40 10 32128", bskcn_1=[12, 20]), 22.1e9, 0.05e9),
    ("Orion-14B", plain("orion", "5120 15360 40 40 40 84608"), 14.5e9, 0.05e9),
    ("FLM-2-52B", plain("TeleFLM", "8192 21824 64 64 64 80000", use_mup=True, output_mult=1), 52e9, 1e9),
    ("rnj-1", plain("rnj1", "4096 16384 32 32 8 128256", head_dim=128, tie_word_embeddings=True), 8.3e9, 0.05e9),
    ("Param2-17B-A2.4B", PARAM_2, 17e9, 0.5e9),
    ("Ouro-1.4B", plain("ouro", "2048 5632 24 16 16 49152", total_ut_steps=4), 1.4e9, 0.05e9),
    ("Ouro-2.6B", plain("ouro", "2048 5632 48 16 16 49152", total_ut_steps=4), 2.6e9, 0.1e9),
    ("LLaDA2.0-mini", LLADA_2, 16.26e9, 0.005e9),
    ("LLaDA-8B", LLADA, 8.02e9, 0.005e9),
    ("LLaDA-MoE-7B-A1B", LLADA_MOE, 7.36e9, 0.005e9),
    # 124,327,616 by num_parameters() of the remote code, in a public account of its training
    (
        "llada-100M",
        {**LLADA, "d_model": 448, "n_layers": 6, "n_heads": 7, "n_kv_heads": 7, "mlp_hidden_size": 768},
        124_327_616,
        0,
    ),
    ("Dream-7B", plain("Dream", "3584 18944 28 28 4 152064"), 7_615_616_512, 0),  # Qwen2.5-7B, which it starts from
    ("rwkv7-0.1b", rwkv7(768, 12, 64, 32, 128), 191_034_624, 0),  # arXiv:2503.14456, and the cards of rwkv7-g1
    ("rwkv7-0.4b", rwkv7(1024, 24, 64, 32, 128), 450_767_872, 0),
    ("rwkv7-1.5b", rwkv7(2048, 24, 96, 64, 256), 1_527_404_544, 0),
    ("rwkv7-2.9b", rwkv7(2560, 32, 96, 64, 320), 2_947_735_040, 0),
    (
        "gla-1.3B",
        {"model_type": "gla", "hidden_size": 2048, "num_hidden_layers": 24, "num_heads": 4, "vocab_size": 32000},
        1.365e9,
        0.005e9,
    ),
    (
        "Skywork-MoE",
        plain("skywork_moe", "4608 12288 52 36 36 65532", num_experts=[16], num_experts_per_tok=2),
        146e9,
        0.5e9,
    ),
    ("Phi-3-small-8k", plain("phi3small", "4096 14336 32 32 8 100352", tie_word_embeddings=True), 7.39e9, 0.005e9),
    ("XVERSE-MoE-A4.2B", plain("xverse_moe", "2560 1728 28 32 32 100278", **XVERSE), 25.8e9, 0.05e9),
    ("Yuan2-2B", plain("yuan", "2048 8192 24 32 32 135040", tie_word_embeddings=True), 2.1e9, 0.05e9),
    ("Yuan2-M32", plain("yuan", "2048 8192 24 16 16 135040", **YUAN_M32), 40e9, 0.5e9),
    ("Phi-4-mini-flash", plain("phi4flash", "2560 10240 32 40 20 200064", **FLASH), 3.85e9, 0.005e9),
    ("AliceAI-80B-A3B", ALICE, 80e9, 0.5e9),
]


@pytest.mark.parametrize(("name", "config", "published", "unit"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_the_published_total(name: str, config: dict[str, Any], published: float, unit: float) -> None:
    found = spec(config)
    assert abs(params(found).total - published) <= unit
    assert not [note.text for note in found.notes if note.code == "unread-keys"]


SMALL: list[tuple[str, dict[str, Any]]] = [
    ("deci", plain("deci", "64 96 3 4 2 320", num_key_value_heads_per_layer=[4, 2, 1])),
    ("plamo3", plain("plamo3", "64 96 8 4 2 320", sliding_window=8, tie_word_embeddings=True)),
    ("minicpm_sala", plain("minicpm_sala", "64 96 4 4 2 320", mixer_types=["minicpm4", "lightning"], lightning_nh=4)),
    ("hymba", plain("hymba", "64 96 3 4 2 320", kv_reuse_group=[[0, 1]], global_attn_idx=[0], sliding_window=8)),
    ("gigachat3_5", GIGACHAT),
]
"""Families of whose models no config was at hand: small shapes of our own, held to what they cost by hand only."""


EVERY = [*((name, config) for name, config, _, _ in PUBLISHED), *SMALL]


@pytest.mark.parametrize(("name", "config"), EVERY, ids=[name for name, _ in EVERY])
def test_odd_values_are_refused_or_read(name: str, config: dict[str, Any]) -> None:
    assert not [note.text for note in spec(config).notes if note.code == "unread-keys"]
    for key in config:
        for odd in (None, -1, 0, "x", [None], [[1]], {"a": 1}, 1e30):
            with suppress(InputError):
                params(spec({**config, key: odd, "model_type": config["model_type"]}))


def test_block_diffusion_models_are_the_ones_they_start_from() -> None:
    small = "64 96 3 4 2 320"
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 16}
    for first, second, more in (("sdar", "qwen3", {"head_dim": 16}), ("sdar_moe", "qwen3_moe", experts)):
        one, other = spec(plain(first, small, **more)), spec(plain(second, small, **more))
        assert one.ops(Workload()) == other.ops(Workload())
        assert [note.code for note in one.notes] == ["diffusion"]


def test_masked_diffusion_keeps_no_cache_and_sees_all() -> None:
    whole = spec(plain("Dream", "64 96 3 4 2 320")).ops(Workload.prefill(10))
    assert whole.total("kv_elements") == 0
    attention = sum(op.flops * op.layers for op in whole if op.kind == "attention")
    assert attention == 3 * 2 * 10 * 10 * 4 * (16 + 16)


def test_a_looped_model_stores_once_and_caches_each_pass() -> None:
    once, thrice = (spec(plain("nanbeige", "64 96 3 4 2 320", num_loops=loops)) for loops in (1, 3))
    assert params(once).total == params(thrice).total
    assert thrice.num_hidden_layers == once.num_hidden_layers == 3
    step = Workload.decode(100)
    layers = [sum(op.flops * op.layers for op in found.ops(step) if op.group) for found in (once, thrice)]
    assert layers[1] == 3 * layers[0]
    assert thrice.ops(step).total("kv_elements") == 3 * once.ops(step).total("kv_elements") == 3 * 3 * 100 * 2 * 32


def test_a_second_pass_attends_to_the_first_and_to_a_window() -> None:
    found = spec(plain("iquestloopcoder", "64 96 3 4 2 320", loop_num=2, loop_window_size=8))
    step = found.ops(Workload.decode(100))
    assert step.total("kv_elements") == 3 * (100 + 8) * 2 * 32
    assert sum(op.flops * op.layers for op in step if op.kind == "attention") == 3 * (100 + 100 + 8) * 2 * 4 * 32
    gates = params(found).total - params(spec(plain("iquestloopcoder", "64 96 3 4 2 320", loop_num=1))).total
    assert gates == 3 * (4 * 16 + 4)


def test_telechat_has_biases_on_its_output_maps() -> None:
    config = {"model_type": "telechat", "hidden_size": 64, "ffn_hidden_size": 96, "n_layer": 2, "n_head": 4}
    found = params(spec({**config, "vocab_size": 320, "tie_word_embeddings": False})).total
    assert found == 2 * 320 * 64 + 64 + 2 * (4 * 64 * 64 + 64 + 3 * 64 * 96 + 64 + 2 * 64)


def test_spark_gates_its_heads_and_windows_three_layers_of_four() -> None:
    found = spec(plain("spark2_5", "64 96 4 4 2 320", head_dim=16, sliding_window=8))
    layer = 64 * (64 + 2 * 32) + 64 * 4 + 64 * 64 + 3 * 64 * 96 + 2 * 64
    assert params(found).total == 2 * 320 * 64 + 64 + 4 * layer
    assert found.ops(Workload.decode(100)).total("kv_elements") == (3 * 8 + 100) * 2 * 32


def test_iquest_q1_has_a_sink_key_and_a_fourth_norm_in_the_first_layer() -> None:
    blocks = {"first_layers_types": ["full_attention"], "hybrid_layers_types_block": ["sliding_attention"]}
    more = {"head_dim": 16, "dense_intermediate_size": 48, "num_experts": 8, "num_experts_per_tok": 2, **blocks}
    more |= {"num_hybrid_layers_block": 2, "last_layers_types": [], "sliding_window": 8}
    found = spec(plain("iquest_q1", "64 24 3 4 2 320", **more))
    mixer = 64 * (64 + 2 * 32) + 64 * 64 + 2 * 16 + 2 * 16
    experts = 8 * 64 + 8 * 3 * 64 * 24
    assert params(found).total == 2 * 320 * 64 + 64 + 3 * (mixer + 3 * 64) + 64 + 3 * 64 * 48 + 2 * experts
    assert found.ops(Workload.decode(100)).total("kv_elements") == (100 + 2 * 8) * 2 * 32


def test_domyn_edge_takes_heads_and_windows_layer_by_layer() -> None:
    per_layer = {"per_layer_config": [{"head_dim": 16}, {"head_dim": 32}], "window_sizes": [[7, 0], [0, 0]]}
    found = spec(plain("domyn_edge", "64 96 2 4 2 320", **per_layer))
    layers = sum(64 * dim * (4 + 2 * 2 + 4) + dim + 3 * 64 * 96 + 4 * 64 for dim in (16, 32))
    assert params(found).total == 2 * 320 * 64 + 64 + layers
    assert found.ops(Workload.decode(100)).total("kv_elements") == 8 * 2 * 2 * 16 + 100 * 2 * 2 * 32


def test_banks_of_experts_are_stored_once_and_run_in_every_layer() -> None:
    config = {
        **{"hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2},
        **{"head_dim": 16, "vocab_size": 320, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
        **{"shared_expert_intermediate_size": 40, "linear_num_key_heads": 2, "linear_num_value_heads": 4},
        **{"linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4},
    }
    banked = spec({"model_type": "interns2_mobius_text", **config, "num_blocks": 2})
    usual = spec({"model_type": "qwen3_5_moe_text", **config})
    bank = 8 * 64 + 8 * 3 * 64 * 24
    assert params(usual).total - params(banked).total == 6 * bank
    assert banked.ops(Workload.decode(10)).total("flops") == usual.ops(Workload.decode(10)).total("flops")


def test_gla_and_rwkv7_keep_states_of_constant_size() -> None:
    gla = spec({"model_type": "gla", "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "vocab_size": 320})
    assert gla.ops(Workload.decode(10)).total("state_elements") == 2 * 4 * 8 * 16
    goose = spec({**rwkv7(64, 2, 8, 8, 8), "head_dim": 16})
    assert goose.ops(Workload.decode(10)).total("state_elements") == 2 * (4 * 16 * 16 + 2 * 64)
    assert goose.kind == gla.kind == "ssm"


def test_lightning_layers_of_minicpm_keep_a_state_and_sparse_ones_a_cache() -> None:
    more = {"mixer_types": ["attn", "lightning-attn"], "lightning_nh": 4, "lightning_nkv": 4, "head_dim": 16}
    found = spec(plain("minicpm_sala", "64 96 4 4 2 320", **more))
    step = found.ops(Workload.decode(10))
    assert step.total("kv_elements") == 2 * 10 * 2 * 2 * 16
    assert step.total("state_elements") == 2 * 4 * 16 * 16
    layers = 2 * (64 * 64 * 2 + 64 * 2 * 32) + 2 * (4 * 64 * 64 + 2 * 16) + 4 * (3 * 64 * 96 + 2 * 64)
    assert params(found).total == 2 * 320 * 64 + 64 + layers


def test_half_of_phi_4_flash_reads_one_cache() -> None:
    found = spec(plain("phi4flash", "64 96 8 4 2 320", sliding_window=8, mamba_dt_rank=4))
    step = found.ops(Workload.decode(100))
    assert step.total("kv_elements") == (2 * 8 + 100) * 2 * 32  # layers 1 and 3, and 5
    read = sum(op.cache_read_elements * op.layers for op in step)
    assert read == (2 * 8 + 2 * 100) * 2 * 32  # layer 7 reads layer 5's
    assert step.total("state_elements") == 3 * 128 * (16 + 4)


def test_hymba_shares_keys_and_keeps_states_beside_them() -> None:
    more = {"kv_reuse_group": [[0, 1]], "global_attn_idx": [0], "sliding_window": 8, "mamba_dt_rank": 4}
    step = spec(plain("hymba", "64 96 3 4 2 320", **more)).ops(Workload.decode(100))
    assert step.total("kv_elements") == (100 + 8) * 2 * (16 + 32)  # layers 0 and 2
    assert step.total("state_elements") == 3 * 128 * (16 + 4)


def test_deci_counts_each_layers_own_keys_and_values() -> None:
    heads = [4, 2, 1]
    layers = sum(64 * (64 + 2 * 16 * each + 64) + 3 * 64 * 96 + 2 * 64 for each in heads)
    found = spec(plain("deci", "64 96 3 4 2 320", num_key_value_heads_per_layer=heads))
    assert params(found).total == 2 * 320 * 64 + 64 + layers
    assert found.ops(Workload.decode(10)).total("kv_elements") == 10 * 2 * 16 * sum(heads)


def test_plamo_3_has_four_norms_and_a_full_layer_in_eight() -> None:
    found = spec(plain("plamo3", "64 96 8 4 2 320", sliding_window=8, tie_word_embeddings=True))
    layer = 64 * (64 + 2 * 32 + 64) + 2 * 16 + 3 * 64 * 96 + 4 * 64
    assert params(found).total == 320 * 64 + 64 + 8 * layer
    assert found.ops(Workload.decode(100)).total("kv_elements") == (7 * 8 + 100) * 2 * 32


def test_hymba_projects_once_for_attention_and_mamba() -> None:
    """Layers 0 and 2 make keys of 2 x 16 and values of 2 x 32; the scan is 128 wide, its time steps of rank 4."""
    found = spec(plain("hymba", "64 96 3 4 2 320", kv_reuse_group=[[0, 1]], mamba_dt_rank=4, num_memory_tokens=5))
    mixer = 64 * 64 + 128 * 64  # queries, and the one map back
    scan = 64 * 2 * 128 + 128 * 4 + 128 + 128 * (4 + 2 * 16) + 4 * 128 + 128 + 128 * 16 + 128 + 4 + 2 * 16
    layers = 3 * (mixer + scan + 2 * 128 + 3 * 64 * 96 + 2 * 64) + 2 * 64 * (2 * 16 + 2 * 32)
    assert params(found).total == 2 * 320 * 64 + 64 + 5 * 64 + layers


def test_gigachat_gates_its_norms() -> None:
    """Four gated norms of 64 in each of 4 layers, one at the end, and those of both latents in the full layer."""
    gated, plainly = spec(GIGACHAT), spec({**GIGACHAT, "norm_type": "RMSNorm"})
    assert params(gated).total - params(plainly).total == 2 * 16 * ((4 * 4 + 1) * 64 + 24 + 32)
    step = gated.ops(Workload.decode(10))
    assert step.total("kv_elements") == 10 * (32 + 8)
    assert step.total("state_elements") == 3 * (4 * 16 * 16 + (2 * 32 + 64) * 4)
    ungated = spec({**GIGACHAT, "gated_attention": False})
    assert params(gated).total - params(ungated).total == 64 * 4 * 16


def test_yuan_filters_two_tokens_before_it_attends() -> None:
    found = spec(plain("yuan", "64 96 2 4 4 320", tie_word_embeddings=True))
    layer = 4 * 64 * 64 + 2 * 64 * 32 + 32 + 2 * 32 * 64 + 64 + 64 + 3 * 64 * 96 + 2 * 64
    assert params(found).total == 320 * 64 + 64 + 2 * layer
    assert found.ops(Workload.decode(10)).total("state_elements") == 2 * 2 * 64


@pytest.mark.parametrize(
    ("version", "queries", "hidden", "family"),
    [("2.6", 64, 64, "qwen2"), (4.5, 64, 64, "qwen3"), (None, 64, 2304, "minicpm"), (None, 96, 64, "llama")],
)
def test_minicpm_v_tells_its_language_model_by_version(version: Any, queries: int, hidden: int, family: str) -> None:
    text = plain(family, f"{hidden} 96 2 4 2 320")
    outer = {**text, "model_type": "minicpmv", "version": version, "query_num": queries, "vision_config": {"depth": 2}}
    found = spec(outer)
    assert found.model_type == family
    assert params(found).total == params(spec(text)).total


def test_deepseek_ocr_names_no_type_for_its_language_model() -> None:
    language = {
        **{"hidden_size": 1280, "intermediate_size": 6848, "num_hidden_layers": 12, "num_attention_heads": 10},
        **{"num_key_value_heads": 10, "vocab_size": 129280, "moe_intermediate_size": 896, "n_routed_experts": 64},
        **{"n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "use_mla": False},
    }
    found = spec({"model_type": "deepseek_vl_v2", "language_config": language, "vision_config": {"a": 1}})
    assert params(found).total == 2_934_734_080  # DeepSeek-VL2-Tiny's, the same decoder


def test_ling_plus_is_read_by_deepseeks_names() -> None:
    more = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
    usual = plain("bailing_moe", "64 96 2 4 2 320", num_experts=8, num_shared_experts=1, **more)
    other = plain("bailing_moe", "64 96 2 4 2 320", n_routed_experts=8, n_shared_experts=1, **more)
    assert params(spec(usual)).total == params(spec(other)).total


def test_ernies_prediction_layers_have_a_size() -> None:
    more = {"moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 24, "num_nextn_predict_layers": 1}
    config = plain("ernie4_5_moe", "64 96 3 4 2 320", **more, moe_num_shared_experts=1, moe_layer_start_index=1)
    (note,) = (note for note in spec(config).notes if note.code == "mtp-layers")
    layer = 64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 96 + 2 * 64
    assert f"{layer + 2 * 64 * 64 + 2 * 64:,}" in note.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "nanbeige", "num_loops": 1000}, "num_loops"),
        ({"model_type": "deci", "num_key_value_heads_per_layer": [2]}, "num_key_value_heads_per_layer"),
        ({"model_type": "deci", "num_key_value_heads_per_layer": [3, 3]}, "not a multiple"),
        ({"model_type": "skywork_moe", "num_experts": "x", "num_experts_per_tok": 1}, "num_experts"),
        ({"model_type": "domyn_edge", "window_sizes": [1]}, "window_sizes"),
        ({"model_type": "domyn_edge", "per_layer_config": {"0": {"head_dim": 0}}}, "head_dim"),
        ({"model_type": "rnj1", "layer_types": ["chunked_attention"] * 2}, "sliding_window"),
        ({"model_type": "plamo3", "sliding_window": [8]}, "windows"),
        ({"model_type": "gla", "num_heads": 3}, "num_heads"),
        ({"model_type": "gla", "attn": {"layers": [1]}}, "attn"),
        ({"model_type": "rwkv7", "attn": {"layers": [1]}}, "attn"),
        ({"model_type": "openelm", "num_query_heads": [4], "num_kv_heads": [2, 2]}, "num_query_heads"),
        ({"model_type": "iquest_q1", "num_experts": 8, "num_experts_per_tok": 2}, "blocks of layer types"),
        ({"model_type": "llada2_moe", "use_bias": True}, "use_bias"),
        ({"model_type": "minicpm_sala", "mixer_types": ["else"]}, "mixer_types"),
        ({"model_type": "minicpm_sala", "lightning_nh": 4, "lightning_nkv": 2}, "must be equal"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        spec({**plain("x", "64 96 2 4 2 320"), **changed})
