"""Attention parts on tiny sizes: what they store, compute and cache, each number worked by hand.

H hidden_size, N query heads, K key-value heads, h head_dim, v v_head_dim. The work: B = 2 sequences with T = 3 new
tokens of S = 5, so 6 tokens and 2 * (3 + 4 + 5) = 24 query-key pairs.
"""

from collections.abc import Iterable

import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.expert_attention import ExpertAttention
from sparsecalc.model.expert_values import ExpertValues
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.region_sparse import RegionSparseAttention
from sparsecalc.model.shared_compressed import SharedCompressedAttention
from sparsecalc.model.shared_transformer import SharedTransformer

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS, PAIRS = 2 * 3, 2 * (3 + 4 + 5)
DECODE = Workload.decode(5, 2)
"""2 tokens, 2 * 5 pairs."""


def column(ops: Iterable[Op], name: str) -> dict[str, float]:
    """What the ops have of one column, by their names; zeros are left out."""
    return {op.name: getattr(op, name) for op in ops if getattr(op, name)}


def only(ops: Iterable[Op], name: str) -> Op:
    (op,) = (op for op in ops if op.name == name)
    return op


# --- Gqa ------------------------------------------------------------------------------------------------------------

GQA = Gqa(hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=3, v_head_dim=5)
QUERY, KEY, VALUE, OUT = 10 * 4 * 3, 10 * 2 * 3, 10 * 2 * 5, 4 * 5 * 10
PER_TOKEN = 2 * (3 + 5)
"""K (h + v)"""


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, {"q_proj": QUERY, "k_proj": KEY, "v_proj": VALUE, "o_proj": OUT}),
        ({"v_head_dim": None}, {"q_proj": QUERY, "k_proj": KEY, "v_proj": 10 * 2 * 3, "o_proj": 4 * 3 * 10}),
        (
            {"qkv_bias": True, "o_bias": True},
            {"q_proj": QUERY + 12, "k_proj": KEY + 6, "v_proj": VALUE + 10, "o_proj": OUT + 10},
        ),
        (
            {"qkv_bias": True, "k_bias": False},
            {"q_proj": QUERY + 12, "k_proj": KEY, "v_proj": VALUE + 10, "o_proj": OUT},
        ),
        ({"output_gate": "per_element"}, {"q_proj": 2 * QUERY, "k_proj": KEY, "v_proj": VALUE, "o_proj": OUT}),
        (
            {"output_gate": "per_head"},
            {"q_proj": QUERY, "k_proj": KEY, "v_proj": VALUE, "gate_proj": 10 * 4, "o_proj": OUT},
        ),
        (
            {"qk_norm": 6, "sinks": True, "relative_attention_num_buckets": 7},
            {"q_proj": QUERY, "k_proj": KEY, "v_proj": VALUE, "o_proj": OUT}
            | {"qk_norm": 6, "sinks": 4, "relative_attention_bias": 7 * 4},
        ),
        ({"v_proj": False}, {"q_proj": QUERY, "k_proj": KEY, "o_proj": OUT}),
        ({"key_value": "shared"}, {"q_proj": QUERY, "o_proj": OUT}),
    ],
)
def test_gqa_params(fields: dict[str, object], params: dict[str, int]) -> None:
    assert column(GQA.but(**fields).ops(WORK), "params") == params


def test_gqa_flops() -> None:
    assert column(GQA.ops(WORK), "flops") == {
        "q_proj": 2 * TOKENS * QUERY,
        "k_proj": 2 * TOKENS * KEY,
        "v_proj": 2 * TOKENS * VALUE,
        "scores_and_values": 2 * PAIRS * 4 * (3 + 5),
        "o_proj": 2 * TOKENS * OUT,
    }


@pytest.mark.parametrize(
    ("fields", "pairs", "held"),
    [
        ({}, 3 + 4 + 5, 5),
        ({"sliding_window": 2}, 2 + 2 + 2, 2),
        ({"sliding_window": 4}, 3 + 4 + 4, 4),
        ({"sliding_window": 9}, 3 + 4 + 5, 5),
        ({"attention_chunk_size": 2}, 1 + 2 + 1, 2),  # positions 2, 3, 4 in chunks of two
    ],
)
def test_gqa_in_a_window(fields: dict[str, int], pairs: int, held: int) -> None:
    scores = GQA.but(**fields).scores(WORK)
    assert scores.flops == 2 * (2 * pairs) * 4 * (3 + 5)
    assert scores.kv_elements_per_token == PER_TOKEN
    assert scores.kv_elements == scores.cache_read_elements == 2 * held * PER_TOKEN


def test_gqa_heads_and_scratch() -> None:
    scores = GQA.scores(WORK)
    assert (scores.heads, scores.kv_heads, scores.shards) == (4, 2, 2)
    assert scores.activation_elements == TOKENS * 4 * (3 + 5)
    assert scores.scratch_elements == TOKENS * 4 * 5


def test_attention_to_an_earlier_layers_cache_reads_it_and_adds_nothing() -> None:
    scores = GQA.but(key_value="shared").scores(WORK)
    assert scores.flops == 2 * PAIRS * 4 * (3 + 5)
    assert (scores.kv_elements_per_token, scores.kv_elements) == (0, 0)
    assert scores.cache_read_elements == 2 * 5 * PER_TOKEN


def test_cross_attention_to_a_whole_source() -> None:
    # keys and values of all 2 * 5 source tokens; every new token sees all 5
    flops = column(GQA.but(key_value="cross").ops(WORK), "flops")
    assert (flops["q_proj"], flops["k_proj"], flops["v_proj"]) == (2 * 6 * QUERY, 2 * 10 * KEY, 2 * 10 * VALUE)
    assert flops["scores_and_values"] == 2 * (2 * 3 * 5) * 4 * (3 + 5)


def test_cross_attention_computes_keys_and_values_with_the_prompt_only() -> None:
    cross = GQA.but(key_value="cross")
    assert set(column(cross.ops(DECODE), "flops")) == {"q_proj", "scores_and_values", "o_proj"}
    assert cross.scores(DECODE).kv_elements == 2 * 5 * PER_TOKEN


def test_an_encoder_sees_everything_and_keeps_nothing() -> None:
    scores = GQA.but(causal=False).scores(WORK)
    assert scores.flops == 2 * (2 * 3 * 5) * 4 * (3 + 5)
    assert (scores.kv_elements_per_token, scores.kv_elements) == (0, 0)


# --- Mla ------------------------------------------------------------------------------------------------------------

MLA = Mla(
    hidden_size=10,
    num_attention_heads=4,
    q_lora_rank=6,
    kv_lora_rank=5,
    qk_nope_head_dim=3,
    qk_rope_head_dim=2,
    v_head_dim=8,
)
MLA_PARAMS = {
    "q_a_proj": 10 * 6,
    "q_b_proj": 6 * 4 * (3 + 2),
    "kv_a_proj_with_mqa": 10 * (5 + 2),
    "latent_norms": 6 + 5,
    "kv_b_proj": 5 * 4 * (3 + 8),
    "o_proj": 4 * 8 * 10,
}
SPARSE_MLA = MLA.but(index_n_heads=3, index_head_dim=8, index_topk=2)


def test_mla_params() -> None:
    assert column(MLA.ops(WORK), "params") == MLA_PARAMS


def test_mla_biases() -> None:
    biased = column(MLA.but(attention_bias=True).ops(WORK), "params")
    more = {name: size - MLA_PARAMS[name] for name, size in biased.items() if size != MLA_PARAMS[name]}
    assert more == {"q_a_proj": 6, "kv_a_proj_with_mqa": 5 + 2, "o_proj": 10}


def test_mla_without_a_query_latent() -> None:
    params = column(MLA.but(q_lora_rank=None).ops(WORK), "params")
    assert (params["q_proj"], params["latent_norms"]) == (10 * 4 * (3 + 2), 5)
    assert not {"q_a_proj", "q_b_proj"} & set(params)


def test_mla_expanded() -> None:
    # all 2 * 5 latents become keys and values; a pair costs nope + rope + v per head
    flops = column(MLA.ops(WORK), "flops")
    assert flops["q_b_proj"] == 2 * TOKENS * MLA_PARAMS["q_b_proj"]
    assert flops["kv_b_proj"] == 2 * (2 * 5) * MLA_PARAMS["kv_b_proj"]
    assert flops["scores_and_values"] == 2 * PAIRS * 4 * (3 + 2 + 8)


def test_mla_absorbed() -> None:
    # only the new tokens pass kv_b_proj; a pair costs r + rope for its score and r for its value
    flops = column(MLA.ops(DECODE), "flops")
    assert flops["kv_b_proj"] == 2 * 2 * MLA_PARAMS["kv_b_proj"]
    assert flops["scores_and_values"] == 2 * (2 * 5) * 4 * (5 + 2 + 5)


@pytest.mark.parametrize(
    ("work", "form", "per_pair"),
    [(WORK, "absorbed", 5 + 2 + 5), (WORK, "expanded", 3 + 2 + 8), (DECODE, "expanded", 3 + 2 + 8)],
)
def test_mla_in_the_form_that_is_asked_for(work: Workload, form: str, per_pair: int) -> None:
    latents = work.tokens if form == "absorbed" else 2 * 5
    flops = column(MLA.ops(work.but(latent_attention=form)), "flops")
    assert flops["kv_b_proj"] == 2 * latents * MLA_PARAMS["kv_b_proj"]
    assert flops["scores_and_values"] == 2 * work.pairs() * 4 * per_pair


def test_mla_caches_one_latent_for_all_heads() -> None:
    scores = only(MLA.ops(WORK), "scores_and_values")
    assert (scores.kv_elements_per_token, scores.kv_heads, scores.shards) == (5 + 2, 0, 1)
    assert scores.kv_elements == scores.cache_read_elements == 2 * 5 * (5 + 2)


@pytest.mark.parametrize(("work", "per_pair"), [(WORK, 3 + 2 + 8), (DECODE, 5 + 2 + 5)])
def test_mla_activations(work: Workload, per_pair: int) -> None:
    scores = only(MLA.ops(work), "scores_and_values")
    assert (scores.heads, scores.activation_elements) == (4, work.tokens * 4 * per_pair)
    assert scores.scratch_elements == work.tokens * 4 * 8


def test_mla_copies_latents_to_every_device() -> None:
    latents = {"q_a_proj", "kv_a_proj_with_mqa", "scores_and_values"}
    indexer = {"indexer.wq_b", "indexer.wk", "indexer.weights_proj", "indexer.scores"}
    assert column(SPARSE_MLA.ops(WORK), "shards") == dict.fromkeys(latents | indexer, 1)


def test_mla_with_an_indexer_reads_the_best_tokens_only() -> None:
    scores = only(SPARSE_MLA.ops(WORK), "scores_and_values")
    assert scores.flops == 2 * (2 * 3 * 2) * 4 * (3 + 2 + 8)
    assert (scores.kv_elements, scores.cache_read_elements) == (2 * 5 * (5 + 2), 2 * 2 * (5 + 2))


def test_an_indexer() -> None:
    ops = [op for op in SPARSE_MLA.ops(WORK) if op.name.startswith("indexer")]
    assert column(ops, "params") == {
        "indexer.wq_b": 6 * 3 * 8,
        "indexer.wk": 10 * 8,
        "indexer.k_norm": 2 * 8,
        "indexer.weights_proj": 10 * 3,
    }
    scores = only(ops, "indexer.scores")
    assert scores.flops == 2 * PAIRS * 3 * (8 + 1)
    assert (scores.index_elements_per_token, scores.kv_elements) == (8, 0)
    assert scores.index_elements == scores.cache_read_elements == 2 * 5 * 8


def test_an_indexer_without_a_query_latent_starts_from_the_hidden_state() -> None:
    assert only(SPARSE_MLA.but(q_lora_rank=None).ops(WORK), "indexer.wq_b").params == 10 * 3 * 8


# --- CompressedAttention --------------------------------------------------------------------------------------------

WINDOW_ONLY = CompressedAttention(
    hidden_size=10, num_attention_heads=4, head_dim=6, q_lora_rank=5, o_groups=2, o_lora_rank=3, sliding_window=2
)
COMPRESSED = WINDOW_ONLY.but(compress_rate=2, overlap=True, index_n_heads=3, index_head_dim=8, index_topk=1)
COMPRESSED_PARAMS = {
    "q_a_proj": 10 * 5,
    "q_b_proj": 5 * 4 * 6,
    "kv_proj": 10 * 6,
    "q_a_norm, kv_norm": 5 + 6,
    "sinks": 4,
    "o_a_proj": 2 * (4 * 6 // 2) * 3,
    "o_b_proj": 2 * 3 * 10,
}
NEAR = 2 * (2 + 2 + 2)
FAR = 2 * (1 + 2 + 2)
"""Entries of two tokens that the positions 2, 3 and 4 see."""


def test_compressed_attention_params_of_a_window() -> None:
    assert column(WINDOW_ONLY.ops(WORK), "params") == COMPRESSED_PARAMS


@pytest.mark.parametrize(("overlap", "streams"), [(False, 1), (True, 2)])
def test_compressed_attention_params_with_an_indexer(overlap: bool, streams: int) -> None:
    assert column(COMPRESSED.but(overlap=overlap).ops(WORK), "params") == COMPRESSED_PARAMS | {
        "compressor.kv_proj": 10 * 6 * streams,
        "compressor.gate_proj": 10 * 6 * streams,
        "compressor.position_bias": 2 * 6 * streams,
        "compressor.kv_norm": 6,
        "indexer.kv_proj": 10 * 8 * streams,
        "indexer.gate_proj": 10 * 8 * streams,
        "indexer.position_bias": 2 * 8 * streams,
        "indexer.kv_norm": 8,
        "indexer.q_b_proj": 5 * 3 * 8,
        "indexer.weights_proj": 10 * 3,
    }


@pytest.mark.parametrize(
    ("fields", "pairs", "per_token", "held", "read"),
    [
        ({"compress_rate": 0, "index_n_heads": 0, "index_topk": None}, NEAR, 6, 2, 2),
        ({"index_n_heads": 0, "index_topk": None}, NEAR + FAR, 6 + 6 // 2, 2 + 5 // 2, 2 + 5 // 2),
        ({}, NEAR + 2 * (1 + 1 + 1), 6 + 6 // 2, 2 + 5 // 2, 2 + 1),
    ],
)
def test_compressed_attention_scores(
    fields: dict[str, object], pairs: int, per_token: int, held: int, read: int
) -> None:
    scores = only(COMPRESSED.but(**fields).ops(WORK), "scores_and_values")
    assert scores.flops == 2 * pairs * 4 * (6 + 6)
    assert scores.kv_elements_per_token == per_token
    assert (scores.kv_elements, scores.cache_read_elements) == (2 * held * 6, 2 * read * 6)  # keys are values
    assert (scores.kv_heads, scores.shards) == (1, 1)


def test_compressed_attentions_indexer() -> None:
    scores = only(COMPRESSED.ops(WORK), "indexer.scores")
    assert scores.flops == 2 * FAR * 3 * 8
    assert scores.index_elements_per_token == 8 // 2
    assert scores.index_elements == scores.cache_read_elements == 2 * (5 // 2) * 8


def test_compressed_attention_in_decode() -> None:
    # 3 sequences of 9 tokens: two tokens of the window and 4 entries each, of which the indexer selects one
    ops = list(COMPRESSED.ops(Workload.decode(9, 3)))
    scores, indexer = only(ops, "scores_and_values"), only(ops, "indexer.scores")
    assert scores.flops == 2 * 3 * (2 + 1) * 4 * (6 + 6)
    assert (scores.kv_elements, scores.cache_read_elements) == (3 * (2 + 4) * 6, 3 * (2 + 1) * 6)
    assert indexer.flops == 2 * (3 * 4) * 3 * 8
    assert indexer.index_elements == 3 * 4 * 8
    assert (scores.activation_elements, scores.scratch_elements) == (3 * 4 * 2 * 6, 3 * 4 * 6)


def test_compressed_attention_copies_what_all_heads_share() -> None:
    compressors = {f"{name}.{map_}_proj" for name in ("compressor", "indexer") for map_ in ("kv", "gate")}
    indexer = {"indexer.q_b_proj", "indexer.weights_proj", "indexer.scores"}
    shared = {"q_a_proj", "kv_proj", "scores_and_values"} | compressors | indexer
    assert column(COMPRESSED.ops(WORK), "shards") == dict.fromkeys(shared, 1)


def test_compressed_attention_projections_run_over_the_new_tokens() -> None:
    for op in COMPRESSED.ops(WORK):
        if op.kind == "matmul":
            assert op.flops == 2 * TOKENS * op.params, op.name


# --- ExpertAttention ------------------------------------------------------------------------------------------------

JETMOE = ExpertAttention(hidden_size=10, num_experts=4, num_experts_per_tok=2, num_key_value_heads=3, head_dim=5)


def test_expert_attention_params() -> None:
    assert column(JETMOE.ops(WORK), "params") == {
        "router": 10 * 4,
        "experts.input_linear": 4 * 10 * 3 * 5,
        "kv_proj": 10 * 2 * 3 * 5,
        "experts.output_linear": 4 * 3 * 5 * 10,
        "bias": 10,
    }


def test_expert_attention_flops() -> None:
    assert column(JETMOE.ops(WORK), "flops") == {
        "router": 2 * TOKENS * 10 * 4,
        "experts.input_linear": 2 * TOKENS * 2 * 10 * 15,
        "kv_proj": 2 * TOKENS * 10 * 30,
        "scores_and_values": 2 * PAIRS * (3 * 2) * (5 + 5),
        "experts.output_linear": 2 * TOKENS * 2 * 15 * 10,
    }


def test_expert_attention_caches_one_set_of_keys_and_values() -> None:
    scores = only(JETMOE.ops(WORK), "scores_and_values")
    assert (scores.kv_elements_per_token, scores.kv_elements) == (2 * 3 * 5, 2 * 5 * 2 * 3 * 5)


# --- SharedTransformer ----------------------------------------------------------------------------------------------

ZAMBA2 = SharedTransformer(
    hidden_size=5,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=3,
    intermediate_size=7,
    adapter_rank=4,
    owns=True,
)
SHARED = {
    "input_layernorm, pre_ff_layernorm": 2 * 5 + 5,
    "q_proj": 2 * 5 * 2 * 3,
    "k_proj": 2 * 5 * 3,
    "v_proj": 2 * 5 * 3,
    "o_proj": 2 * 3 * 5,
    "gate_up_proj": 2 * 5 * 7,
    "down_proj": 7 * 5,
}
OWN = {
    "gate_up_proj_adapter down": 5 * 4,
    "gate_up_proj_adapter up": 4 * 2 * 7,
    "linear": 5 * 5,
}


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, SHARED | OWN),
        ({"owns": False}, OWN),
        ({"attention_adapters": True}, SHARED | OWN | {"adapters down": 3 * 10 * 4, "adapters up": 3 * 4 * 10}),
        ({"mlp_bias": True}, SHARED | OWN | {"gate_up_proj": 2 * 5 * 7 + 2 * 7, "down_proj": 7 * 5 + 5}),
    ],
)
def test_shared_transformer_params(fields: dict[str, object], params: dict[str, int]) -> None:
    assert column(ZAMBA2.but(**fields).ops(WORK), "params") == params


@pytest.mark.parametrize("owns", [True, False])
def test_shared_weights_are_computed_with_in_every_layer(owns: bool) -> None:
    norms = {"input_layernorm, pre_ff_layernorm"}
    flops = {name: 2 * TOKENS * size for name, size in (SHARED | OWN).items() if name not in norms}
    scores = {"scores_and_values": 2 * PAIRS * 2 * (3 + 3)}
    assert column(ZAMBA2.but(owns=owns).ops(WORK), "flops") == flops | scores


def test_a_shared_transformer_has_a_cache_in_every_layer() -> None:
    assert column(ZAMBA2.but(owns=False).ops(WORK), "kv_elements") == {"scores_and_values": 2 * 5 * 2 * 3}


# --- SharedCompressedAttention, RegionSparseAttention, ExpertValues -------------------------------------------------

SHARING = SharedCompressedAttention(
    hidden_size=10,
    num_attention_heads=4,
    head_dim=6,
    q_lora_rank=5,
    o_groups=2,
    o_lora_rank=3,
    sliding_window=2,
    compress_rate=2,
    index_topk=1,
    is_kv_source=True,
    index_n_heads=3,
    index_head_dim=8,
)


def test_a_source_of_keys_makes_entries_and_index_keys() -> None:
    assert column(SHARING.ops(WORK), "params") == COMPRESSED_PARAMS | {
        "compressor.kv_proj": 10 * 6,
        "compressor.gate_proj": 10 * 6,
        "compressor.norm": 6,
        "indexer.wk": 6 * 8,
        "indexer.k_norm": 8,
        "indexer.q_b_proj": 5 * 3 * 8,
        "indexer.weights_proj": 10 * 3,
    }
    assert "compressor.gate_proj" not in column(SHARING.but(compress_rate=1).ops(WORK), "params")


def test_a_reader_of_shared_entries_keeps_none() -> None:
    """It scores and reads as the source does; only its window stays in the cache."""
    reader = SHARING.but(is_kv_source=False)
    own, other = only(SHARING.ops(WORK), "scores_and_values"), only(reader.ops(WORK), "scores_and_values")
    assert (other.flops, other.cache_read_elements) == (own.flops, own.cache_read_elements)
    assert (own.kv_elements, other.kv_elements) == (2 * (2 + 5 // 2) * 6, 2 * 2 * 6)
    assert only(reader.ops(WORK), "indexer.scores").index_elements == 0
    assert not any(op.name.startswith("compressor") for op in reader.ops(WORK))


REGIONS = RegionSparseAttention(
    hidden_size=10,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=6,
    index_n_heads=3,
    index_head_dim=8,
    index_topk=1,
    region_size=2,
)


def test_region_sparse_pairs_by_hand() -> None:
    """Positions 2, 3, 4 have 1, 1, 2 closed regions before their own, in which they see 1, 2, 1 tokens."""
    scores, indexer = only(REGIONS.ops(WORK), "scores_and_values"), only(REGIONS.ops(WORK), "indexer.scores")
    assert indexer.flops == 2 * 2 * (1 + 1 + 2) * 3 * 8
    assert scores.flops == 2 * 2 * ((2 + 2 + 2) + (1 + 2 + 1)) * 4 * (6 + 6)
    assert scores.kv_elements == 2 * 5 * 2 * 12
    assert scores.cache_read_elements == 2 * 4 * 2 * 12  # one region and its own
    assert indexer.index_elements == 2 * 2 * 8


def test_region_sparse_is_dense_while_all_regions_are_picked() -> None:
    dense = Gqa(hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=6)
    assert only(REGIONS.but(index_topk=9).ops(WORK), "scores_and_values").flops == dense.scores(WORK).flops


def test_values_from_experts_take_the_place_of_one_map() -> None:
    """5 experts of 10 -> 2 * 6, of which 2 for each token, and a router with biases."""
    plain = Gqa(hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=6)
    mixed = ExpertValues(
        **{key: value for key, value in vars(plain).items() if key != "kind"},
        num_value_experts=5,
        num_value_experts_per_tok=2,
        value_router_bias=True,
    )
    left, right = column(plain.ops(WORK), "params"), column(mixed.ops(WORK), "params")
    assert left.pop("v_proj") == 10 * 12
    assert right == left | {"value_router": 10 * 5, "value_router.bias": 5, "value_experts": 5 * 10 * 12}
    experts = only(mixed.ops(WORK), "value_experts")
    assert (experts.active_params, experts.flops) == (2 * 10 * 12, 2 * 2 * 3 * 2 * 10 * 12)


def test_factorized_queries_and_gated_latents() -> None:
    narrow = Gqa(hidden_size=10, num_attention_heads=4, num_key_value_heads=1, head_dim=6, q_lora_rank=5)
    found = column(narrow.ops(WORK), "params")
    assert (found["q_a_proj"], found["q_a_norm"], found["q_proj"]) == (10 * 5, 5, 5 * 4 * 6)
    gated = SPARSE_MLA.but(output_gate=True)
    assert only(gated.ops(WORK), "g_proj").params == 10 * gated.num_attention_heads * gated.v_head_dim
