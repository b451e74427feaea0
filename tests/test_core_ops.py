"""Ops and their sums, and the work of a step: positions, query-key pairs, entries of a pooled cache."""

from dataclasses import fields

import numpy as np
import pytest

from sparsecalc.core.components import COMPONENTS
from sparsecalc.core.ops import Ledger, Op, ledger, linear, vector
from sparsecalc.core.storage import GroupStorage
from sparsecalc.core.workload import Workload


def op(**fields: object) -> Op:
    return Op(**{"name": "op", "component": "other", "kind": "matmul", **fields})  # type: ignore[arg-type]


# --- core/ops: one op -----------------------------------------------------------------------------------------------


def test_an_op_of_which_nothing_is_told() -> None:
    told = {column.name: getattr(op(), column.name) for column in fields(Op)}
    shares = {"num_experts_per_tok": 1, "num_experts": 1, "read_share": 1, "compute_share": 1}
    expected = {"name": "op", "component": "other", "kind": "matmul", "layers": 1, **shares}
    assert {name: value for name, value in told.items() if value} == expected


def test_params_of_an_op() -> None:
    weights = op(rows=3, cols=5, matrices=2, vectors=7, layers=11)
    assert weights.params == weights.used_params == weights.nonzero_params == 2 * 3 * 5 + 7  # of one layer


def test_tied_weights_are_used_and_not_stored() -> None:
    tied = op(rows=3, cols=5, matrices=2, vectors=7, tied=True, storage=GroupStorage(kept=2, of=4))
    assert (tied.used_params, tied.params, tied.nonzero_params, tied.active_params) == (37, 0, 0, 0)


def test_nonzeros_of_sparse_weights() -> None:
    sparse = op(rows=3, cols=8, matrices=2, vectors=7, storage=GroupStorage(kept=2, of=4))
    assert (sparse.params, sparse.nonzero_params) == (2 * 24 + 7, 2 * 12 + 7)


@pytest.mark.parametrize(
    ("k", "experts", "zero", "active", "expected"),
    [
        (1, 1, 0, 60, 1),
        (2, 4, 0, 60 * 2 // 4, 2),
        (2, 6, 2, 60 * 2 // 6, 2 * 6 / 8),  # active keeps the upper bound: two experts with weights
        (6, 4, 2, 60, 6 * 4 / 6),  # more are selected than have weights: all of them are active
        (0, 4, 0, 0, 0),  # idle experts
    ],
)
def test_experts_of_an_op(k: int, experts: int, zero: int, active: int, expected: float) -> None:
    routed = op(rows=3, cols=5, matrices=4, num_experts_per_tok=k, num_experts=experts, zero_experts=zero)
    assert routed.active_params == active
    assert routed.expected_experts_per_tok == expected


def test_read_params_are_a_share_of_those_used() -> None:
    assert op(rows=3, cols=5, matrices=2, vectors=2, tied=True, read_share=0.25).read_params == 32 / 4


@pytest.mark.parametrize(("bias", "vectors"), [(False, 0), (True, 2 * 5)])
def test_linear(bias: bool, vectors: int) -> None:
    row = linear("up", "dense_ffn", 3, 5, 7, bias=bias, matrices=2, shards=4, role="gate_up")
    assert (row.name, row.component, row.kind, row.role, row.shards) == ("up", "dense_ffn", "matmul", "gate_up", 4)
    assert (row.rows, row.cols, row.matrices, row.vectors) == (5, 3, 2, vectors)
    assert row.flops == 2 * 7 * 3 * 5 * 2
    assert row.tokens == 7
    assert row.activation_elements == 7 * 3 + 7 * 5 * 2  # one input, two outputs
    assert row.scratch_elements == 7 * 5 * 2


def test_linear_of_tied_weights() -> None:
    row = linear("lm_head", "lm_head", 3, 5, 7, tied=True)
    assert (row.params, row.used_params, row.flops) == (0, 3 * 5, 2 * 7 * 3 * 5)


def test_vector_multiplies_no_matrix() -> None:
    row = vector("norm", "norm", 6, 7)
    assert (row.kind, row.params, row.tokens, row.flops, row.activation_elements) == ("vector", 6, 7, 0, 0)


# --- core/ops: a ledger ---------------------------------------------------------------------------------------------

ROWS = Ledger(
    [
        op(name="q", component="attention", flops=10, layers=3),
        op(name="o", component="attention", flops=4, layers=2, kind="scan"),
        op(name="head", component="lm_head", flops=100),
    ]
)


def test_sums_count_every_layer() -> None:
    assert ROWS.total("flops") == ROWS.sum("flops") == 3 * 10 + 2 * 4 + 100


def test_sum_of_a_function_over_some_ops() -> None:
    assert ROWS.sum(lambda row: row.flops / 4, where=lambda row: row.component == "attention") == (30 + 8) / 4


def test_sum_of_large_integers_is_exact() -> None:
    assert Ledger([op(flops=2**62 + 1, layers=4)]).sum("flops") == 2**64 + 4


def test_sums_by_component_name_all_components() -> None:
    sums = ROWS.by_component("flops")
    assert tuple(sums) == COMPONENTS
    assert {name: value for name, value in sums.items() if value} == {"attention": 38, "lm_head": 100}


def test_in_group_multiplies_the_layers() -> None:
    rows = Ledger(ROWS.in_group("gqa", 5))
    assert [(row.group, row.layers) for row in rows] == [("gqa", 15), ("gqa", 10), ("gqa", 5)]
    assert rows.total("flops") == 5 * ROWS.total("flops")


def test_ledgers_are_joined_in_order() -> None:
    joined = ledger(ROWS[:1], [], ROWS[1:])
    assert isinstance(joined, Ledger)
    assert joined == ROWS


# --- core/workload --------------------------------------------------------------------------------------------------


def test_the_smallest_workload() -> None:
    assert Workload() == Workload(phase="prefill", batch_size=1, new_tokens=1, context_len=1)
    assert (Workload.prefill(4).tokens, Workload.decode(4).tokens) == (4, 1)


def test_prefill_computes_all_of_a_prompt() -> None:
    work = Workload.prefill(5, 3)
    assert (work.phase, work.new_tokens, work.context_len, work.past) == ("prefill", 5, 5, 0)
    assert (work.tokens, work.logit_tokens) == (3 * 5, 3 * 5)
    assert work.but(logits="last").logit_tokens == 3


def test_decode_computes_one_token_of_each_sequence() -> None:
    work = Workload.decode(5, 3)
    assert (work.phase, work.new_tokens, work.context_len, work.past) == ("decode", 1, 5, 4)
    assert (work.tokens, work.logit_tokens) == (3, 3)


@pytest.mark.parametrize(
    ("new", "context", "window", "chunk", "pairs"),
    [
        (4, 4, None, None, 1 + 2 + 3 + 4),
        (1, 4, None, None, 4),
        (2, 4, None, None, 3 + 4),
        (4, 4, 2, None, 1 + 2 + 2 + 2),
        (2, 4, 3, None, 3 + 3),
        (1, 4, 9, None, 4),
        (4, 4, None, 3, 1 + 2 + 3 + 1),
        (2, 8, None, 3, 1 + 2),
        (3, 8, None, 3, 3 + 1 + 2),
    ],
)
def test_causal_pairs(new: int, context: int, window: int | None, chunk: int | None, pairs: int) -> None:
    work = Workload(batch_size=2, new_tokens=new, context_len=context)
    assert work.pairs(window, chunk) == 2 * pairs


@pytest.mark.parametrize("context", [1, 5, 12, 13])
def test_pairs_are_the_sum_over_the_new_positions(context: int) -> None:
    for new in range(1, context + 1):
        work, positions = Workload(batch_size=3, new_tokens=new, context_len=context), range(context - new, context)
        assert work.pairs() == 3 * sum(p + 1 for p in positions)
        assert work.pairs(4) == 3 * sum(min(p + 1, 4) for p in positions)
        assert work.pairs(None, 4) == 3 * sum(p % 4 + 1 for p in positions)
        assert work.pooled_pairs(3) == 3 * sum((p + 1) // 3 for p in positions)
        assert work.pooled_pairs(3, 2) == 3 * sum(min((p + 1) // 3, 2) for p in positions)


@pytest.mark.parametrize(
    ("new", "context", "ratio", "limit", "pairs"),
    [
        (5, 5, 2, None, 0 + 1 + 1 + 2 + 2),
        (5, 5, 2, 1, 0 + 1 + 1 + 1 + 1),
        (1, 12, 4, None, 3),
        (1, 12, 4, 2, 2),
        (3, 3, 4, None, 0),  # no entry is full yet
        (2, 6, 1, None, 5 + 6),
    ],
)
def test_pairs_with_pooled_entries(new: int, context: int, ratio: int, limit: int | None, pairs: int) -> None:
    assert Workload(batch_size=2, new_tokens=new, context_len=context).pooled_pairs(ratio, limit) == 2 * pairs


def test_pairs_without_a_mask() -> None:
    work = Workload(batch_size=2, new_tokens=3, context_len=7, causal=False)
    assert work.pairs() == work.pairs(2) == work.pairs(None, 2) == 2 * 3 * 7
    assert work.pooled_pairs(2) == 2 * 3 * 3  # floor(7 / 2) entries
    assert work.pooled_pairs(2, 1) == 2 * 3 * 1


def test_pairs_of_arrays_are_those_of_numbers() -> None:
    contexts = np.array([3.0, 5.0, 12.0])
    for arguments in ((None, None), (4, None), (None, 4)):
        single = [Workload.decode(int(context), 2).pairs(*arguments) for context in contexts]
        assert Workload.decode(contexts, 2).pairs(*arguments).tolist() == single
    assert Workload.prefill(contexts).pooled_pairs(3, 2).tolist() == [1, 3, 1 + 1 + 1 + 2 * 7]
