"""Parts that are derived from a real model's tensors: what they make of the sizes that were seen, worked by hand.

The work: B = 2 sequences with T = 3 new tokens of S = 5, so 6 tokens and 2 * (3 + 4 + 5) = 24 query-key pairs.
"""

from collections.abc import Iterable

import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.derived_parts import (
    DerivedAttention,
    DerivedExperts,
    DerivedMlp,
    DerivedRecurrent,
    Scores,
    Weights,
)

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS, PAIRS = 2 * 3, 2 * (3 + 4 + 5)
DECODE = Workload.decode(5, 2)
"""2 tokens, 2 * 5 pairs."""

UP = Weights(name="up_proj", component="dense_ffn", rows=7, cols=5, matrices=2, vectors=3, flops_per_token=2 * 2 * 35)
EXPERTS = Weights(
    name="experts",
    component="routed_experts",
    rows=7,
    cols=5,
    matrices=8,
    flops_per_token=2 * 2 * 2 * 35,
    num_experts_per_tok=2,
    num_experts=4,
)
"""Two matrices for each of four experts, two experts for each token."""


def column(ops: Iterable[Op], name: str) -> dict[str, float]:
    """What the ops have of one column, by their names; zeros are left out."""
    return {op.name: getattr(op, name) for op in ops if getattr(op, name)}


def only(part: Weights | Scores) -> Op:
    (op,) = part.ops(WORK)
    return op


# --- Weights --------------------------------------------------------------------------------------------------------


def test_weights() -> None:
    op = only(UP)
    assert (op.kind, op.params, op.active_params) == ("matmul", 2 * 7 * 5 + 3, 2 * 7 * 5 + 3)
    assert (op.tokens, op.flops) == (TOKENS, TOKENS * 2 * 2 * 35)
    assert op.activation_elements == TOKENS * (5 + 2 * 7)
    assert op.scratch_elements == TOKENS * 2 * 7


def test_one_matrix() -> None:
    op = only(UP.but(matrices=1, vectors=0, flops_per_token=2 * 35))
    assert (op.params, op.tokens, op.read_share) == (35, TOKENS, 1)
    assert op.activation_elements == TOKENS * (5 + 7)


def test_weights_that_run_over_the_whole_context() -> None:
    op = only(UP.but(flops_per_token=0, flops_per_context_token=2 * 2 * 35))
    assert (op.tokens, op.flops) == (2 * 5, 2 * 5 * 2 * 2 * 35)


def test_flops_of_both_kinds_are_added() -> None:
    assert only(UP.but(flops_per_token=3, flops_per_context_token=4)).flops == 2 * (3 * 3 + 5 * 4)


def test_weights_whose_flops_are_no_whole_rows() -> None:
    assert only(UP.but(flops_per_token=141)).tokens == TOKENS


def test_tied_weights() -> None:
    op = only(UP.but(tied=True))
    assert (op.params, op.used_params) == (0, 73)


def test_stacked_experts() -> None:
    op = only(EXPERTS)
    assert (op.kind, op.params, op.active_params) == ("experts", 8 * 35, 8 * 35 * 2 // 4)
    assert (op.tokens, op.flops) == (TOKENS * 2, TOKENS * 2 * (2 * 2 * 35))  # a row for each expert of a token
    assert op.read_share == pytest.approx(1 - (1 - 2 / 4) ** TOKENS, rel=1e-12)
    assert op.scratch_elements == TOKENS * 2 * 2 * 7


def test_two_experts_are_experts() -> None:
    op = only(EXPERTS.but(num_experts=2, num_experts_per_tok=1))
    assert op.read_share == pytest.approx(1 - (1 - 1 / 2) ** TOKENS, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "matmul"),
        ({"op": "conv"}, "conv"),
        ({"op": "scan"}, "scan"),
        ({"matrices": 0, "flops_per_token": 0}, "vector"),
        ({"matrices": 0}, "matmul"),
        ({"num_experts": 2}, "experts"),
    ],
)
def test_kinds_of_weights(fields: dict[str, object], kind: str) -> None:
    assert only(UP.but(**fields)).kind == kind


@pytest.mark.parametrize(("k", "experts"), [(5, 4), (0, 4)])
def test_impossible_numbers_of_experts(k: int, experts: int) -> None:
    with pytest.raises(ValueError, match=f"up_proj: {k} of {experts} experts"):
        UP.but(num_experts_per_tok=k, num_experts=experts)


# --- Scores ---------------------------------------------------------------------------------------------------------

SCORES = Scores(num_attention_heads=4, head_dim=3, v_head_dim=6)


@pytest.mark.parametrize(
    ("fields", "pairs"),
    [
        ({}, PAIRS),
        ({"sliding_window": 2}, 2 * (2 + 2 + 2)),
        ({"attention_chunk_size": 2}, 2 * (1 + 2 + 1)),
        ({"causal": False}, 2 * 3 * 5),
    ],
)
def test_scores_flops(fields: dict[str, object], pairs: int) -> None:
    assert only(SCORES.but(**fields)).flops == 2 * pairs * 4 * (3 + 6)


def test_scores_move_queries_and_values() -> None:
    op = only(SCORES)
    assert (op.heads, op.params, op.kv_elements) == (4, 0, 0)
    assert (op.activation_elements, op.scratch_elements) == (TOKENS * 4 * (3 + 6), TOKENS * 4 * 6)


# --- DerivedAttention -----------------------------------------------------------------------------------------------

QUERY = Weights(name="q_proj", component="attention", rows=12, cols=5, matrices=1, flops_per_token=2 * 60)
EXPAND = Weights(name="kv_b_proj", component="attention", rows=8, cols=5, matrices=1, flops_per_context_token=2 * 40)
OUT = Weights(name="o_proj", component="attention", rows=5, cols=12, matrices=1, flops_per_token=2 * 60)
PLAIN = DerivedAttention(weights=(QUERY, OUT), scores=(SCORES,), cache_per_token=16)
LATENT = DerivedAttention(weights=(QUERY, EXPAND, OUT), scores=(SCORES,), cache_per_token=7, latent_rank=5)


def test_derived_attention_runs_its_last_map_after_the_scores() -> None:
    assert [op.name for op in PLAIN.ops(WORK)] == ["q_proj", "scores_and_values", "cache", "o_proj"]


def test_derived_attention_flops() -> None:
    assert column(PLAIN.ops(WORK), "flops") == {
        "q_proj": TOKENS * 2 * 60,
        "scores_and_values": 2 * PAIRS * 4 * (3 + 6),
        "o_proj": TOKENS * 2 * 60,
    }


@pytest.mark.parametrize(("window", "held"), [(None, 5), (2, 2), (9, 5)])
def test_derived_attentions_cache(window: int | None, held: int) -> None:
    ops = list(PLAIN.but(cache_window=window).ops(WORK))
    assert column(ops, "kv_elements_per_token") == {"cache": 16}
    assert column(ops, "kv_elements") == column(ops, "cache_read_elements") == {"cache": 2 * held * 16}


def test_derived_attention_with_an_indexers_cache() -> None:
    ops = list(PLAIN.but(cache_window=2, index_per_token=3).ops(WORK))
    assert column(ops, "index_elements") == {"cache": 2 * 5 * 3}
    assert column(ops, "cache_read_elements") == {"cache": 2 * (2 * 16 + 5 * 3)}


def test_derived_attention_without_a_cache() -> None:
    assert "cache" not in {op.name for op in PLAIN.but(cache_per_token=0).ops(WORK)}


@pytest.mark.parametrize(
    ("work", "form", "absorbed"),
    [
        (WORK, "auto", False),
        (WORK, "absorbed", True),
        (DECODE, "auto", True),
        (DECODE, "expanded", False),
    ],
)
def test_derived_latent_attention(work: Workload, form: str, absorbed: bool) -> None:
    # absorbed: only new tokens are expanded, and a pair costs 5 + 7 elements per head, not 3 + 6
    flops = column(LATENT.ops(work.but(latent_attention=form)), "flops")
    assert flops["kv_b_proj"] == (work.tokens if absorbed else 2 * 5) * 2 * 40
    assert flops["scores_and_values"] == 2 * work.pairs() * 4 * ((5 + 7) if absorbed else (3 + 6))


def test_attention_without_a_latent_is_never_absorbed() -> None:
    assert column(PLAIN.ops(DECODE), "flops")["scores_and_values"] == 2 * (2 * 5) * 4 * (3 + 6)


def test_an_indexer_has_no_absorbed_form() -> None:
    part = LATENT.but(scores=(SCORES, SCORES.but(name="indexer.scores")))
    assert column(part.ops(DECODE), "flops")["indexer.scores"] == 2 * (2 * 5) * 4 * (3 + 6)


# --- DerivedRecurrent, DerivedMlp, DerivedExperts -------------------------------------------------------------------


@pytest.mark.parametrize("products", [0, 2, 3])
def test_derived_recurrent(products: int) -> None:
    part = DerivedRecurrent(weights=(QUERY, OUT), state=11, products=products, state_is_fp32=True, conv_state=13)
    ops = list(part.ops(WORK))
    assert [op.name for op in ops] == ["q_proj", "state_update", "conv_state", "o_proj"]
    assert column(ops, "flops").get("state_update", 0) == 2 * TOKENS * 11 * products
    assert column(ops, "state_elements") == {"state_update": 2 * 11, "conv_state": 2 * 13}
    assert column(ops, "state_is_fp32") == {"state_update": True}


def test_derived_recurrent_without_a_convolution() -> None:
    assert [op.name for op in DerivedRecurrent(weights=(QUERY, OUT), state=1).ops(WORK)][1:] == [
        "state_update",
        "o_proj",
    ]


def test_derived_mlp_is_the_sum_of_its_weights() -> None:
    ops = list(DerivedMlp(weights=(UP, OUT)).ops(WORK))
    assert column(ops, "params") == {"up_proj": 2 * 35 + 3, "o_proj": 60}
    assert column(ops, "flops") == {"up_proj": TOKENS * 140, "o_proj": TOKENS * 120}


def test_derived_experts() -> None:
    shared = Weights(name="down_proj", component="shared_experts", rows=5, cols=9, matrices=1)
    gate = shared.but(name="gate", rows=1, cols=5)
    part = DerivedExperts(weights=(UP, EXPERTS, shared, gate))
    assert (part.num_experts, part.num_experts_per_tok, part.zero_experts) == (4, 2, 0)
    assert part.shared_intermediate_size == 9  # what goes into the last matrix; a gate of one row is none
    assert column(part.ops(WORK), "params") == {"up_proj": 73, "experts": 280, "down_proj": 45, "gate": 5}


def test_derived_experts_without_any() -> None:
    part = DerivedExperts()
    assert (part.num_experts, part.num_experts_per_tok, part.shared_intermediate_size) == (1, 1, 0)
