"""Recurrent mixers on tiny sizes: what they store, compute and hold as state, each number worked by hand.

The work: B = 2 sequences with T = 3 new tokens of S = 5, so 6 tokens. State is held per sequence, whatever its length.
"""

from collections.abc import Iterable

import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.feed_forward import RwkvChannelMix
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, RgLru, RwkvTimeMix, ShortConv

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS = 2 * 3


def column(ops: Iterable[Op], name: str) -> dict[str, float]:
    """What the ops have of one column, by their names; zeros are left out."""
    return {op.name: getattr(op, name) for op in ops if getattr(op, name)}


def products(params: dict[str, int]) -> dict[str, int]:
    """Two FLOPs for each token and element of a matrix."""
    return {name: 2 * TOKENS * size for name, size in params.items()}


MAMBA = Mamba(hidden_size=5, intermediate_size=7, state_size=3, conv_kernel=4, time_step_rank=2)
MAMBA2 = Mamba2(hidden_size=5, num_heads=3, head_dim=4, state_size=7, n_groups=2, conv_kernel=6)
"""Inner width 3 * 4; the convolution runs over it and 2 groups of B and C, 12 + 2 * 2 * 7 = 40 channels."""
QWEN3_NEXT = GatedDeltaNet(
    hidden_size=11, num_key_heads=2, num_value_heads=3, key_head_dim=4, value_head_dim=5, conv_kernel=6
)
"""Queries and keys 2 * 4 each, values 3 * 5."""
KIMI = QWEN3_NEXT.but(channel_decay=True)
MINIMAX = LightningAttention(hidden_size=5, num_attention_heads=2, head_dim=3)
LFM2 = ShortConv(hidden_size=5, conv_kernel=3)
RWKV = RwkvTimeMix(hidden_size=5, attention_hidden_size=7)
RWKV_MIX = RwkvChannelMix(hidden_size=5, intermediate_size=7)
GRIFFIN = RgLru(hidden_size=5, lru_width=6, num_heads=3, conv_kernel=4)
"""Three blocks of 2 x 2 for each of the two gates."""

MATRICES = {
    "mamba": (
        MAMBA,
        {"in_proj": 5 * 2 * 7, "conv1d": 7 * 4, "x_proj": 7 * (2 + 2 * 3), "dt_proj": 2 * 7, "out_proj": 7 * 5},
    ),
    "mamba2": (MAMBA2, {"in_proj": 5 * (12 + 40 + 3), "conv1d": 40 * 6, "out_proj": 12 * 5}),
    "gated_deltanet": (
        QWEN3_NEXT,
        {"in_proj_qkv": 11 * (2 * 8 + 15), "conv1d": (2 * 8 + 15) * 6, "out_proj": 15 * 11}
        | {"a_proj": 11 * 3, "b_proj": 11 * 3, "z_proj": 11 * 15},
    ),
    "kimi": (
        KIMI,
        {"in_proj_qkv": 11 * (2 * 8 + 15), "conv1d": (2 * 8 + 15) * 6, "out_proj": 15 * 11, "b_proj": 11 * 3}
        | {"f_a_proj": 11 * 5, "f_b_proj": 5 * 8, "g_a_proj": 11 * 5, "g_b_proj": 5 * 15},
    ),
    "lightning": (MINIMAX, {"qkv_proj": 5 * 3 * 6, "output_gate": 5 * 6, "out_proj": 6 * 5}),
    "short_conv": (LFM2, {"in_proj": 5 * 3 * 5, "conv1d": 5 * 3, "out_proj": 5 * 5}),
    "rwkv": (RWKV, {"key, value, receptance": 3 * 5 * 7, "output": 7 * 5}),
    "rwkv_channel_mix": (RWKV_MIX, {"key": 5 * 7, "value": 7 * 5, "receptance": 5 * 5}),
    "rg_lru": (
        GRIFFIN,
        {"linear_y, linear_x": 2 * 5 * 6, "conv1d": 6 * 4, "recurrence gates": 2 * 3 * 2 * 2, "linear_out": 6 * 5},
    ),
}
VECTORS = {
    "mamba": {"conv1d": 7, "dt_proj": 7, "A_log, D": 7 * 3 + 7},
    "mamba2": {"conv1d": 40, "A_log, D, dt_bias": 3 * 3, "norm": 12},
    "gated_deltanet": {"A_log, dt_bias": 3 + 3, "o_norm": 5},
    "kimi": {"A_log, dt_bias": 3 + 8, "o_norm": 5},
    "lightning": {"norm": 6},
    "short_conv": {},
    "rwkv": {"time_decay, time_first": 2 * 7, "time_mix": 3 * 5},
    "rwkv_channel_mix": {"time_mix": 2 * 5},
    "rg_lru": {"linear_y, linear_x": 2 * 6, "conv1d": 6, "recurrence gates": 2 * 3 * 2, "recurrent_param": 6}
    | {"linear_out": 5},
}
SCANS = {
    # multiply-accumulates per token: those of the update and the read-out, of every element of the state
    "mamba": 2 * 7 * 3,
    "mamba2": 2 * 12 * 7,
    "gated_deltanet": 3 * 3 * 4 * 5,  # and of the prediction that the delta rule subtracts
    "kimi": 3 * 3 * 4 * 5,
    "lightning": 2 * 2 * 3 * 3,
}
STATES = {
    # elements of one sequence; a convolution keeps as many tokens as it has taps
    "mamba": {"conv1d": 7 * 4, "state_update": 7 * 3},
    "mamba2": {"conv1d": 40 * 6, "state_update": 12 * 7},
    "gated_deltanet": {"conv1d": (2 * 8 + 15) * 6, "state_update": 3 * 4 * 5},
    "kimi": {"conv1d": (2 * 8 + 15) * 6, "state_update": 3 * 4 * 5},
    "lightning": {"state_update": 2 * 3 * 3},
    "short_conv": {"conv1d": 5 * 3},
    "rwkv": {"state": 3 * 7 + 5},
    "rwkv_channel_mix": {"time_mix": 5},
    "rg_lru": {"conv1d": 6 * (4 - 1), "state": 6},  # Griffin's: the past ones only, as transformers' recurrent_gemma
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name: str) -> None:
    part, matrices = MATRICES[name]
    stored = {op.name: op.matrices * op.rows * op.cols for op in part.ops(WORK) if op.matrices}
    assert stored == matrices


@pytest.mark.parametrize("name", MATRICES)
def test_vectors(name: str) -> None:
    assert column(MATRICES[name][0].ops(WORK), "vectors") == VECTORS[name]


@pytest.mark.parametrize("name", MATRICES)
def test_flops(name: str) -> None:
    part, matrices = MATRICES[name]
    scan = {"state_update": 2 * TOKENS * SCANS[name]} if name in SCANS else {}
    assert column(part.ops(WORK), "flops") == products(matrices) | scan


@pytest.mark.parametrize("name", MATRICES)
def test_state(name: str) -> None:
    part = MATRICES[name][0]
    for work in (WORK, Workload.decode(1000, 2)):
        assert column(part.ops(work), "state_elements") == {key: 2 * size for key, size in STATES[name].items()}


@pytest.mark.parametrize("name", MATRICES)
def test_nothing_is_cached_per_token(name: str) -> None:
    assert not column(MATRICES[name][0].ops(WORK), "kv_elements")


@pytest.mark.parametrize(
    ("name", "in_fp32"), [("mamba", set()), ("short_conv", set()), ("rwkv", {"state"}), ("rg_lru", {"state"})]
)
def test_elementwise_recurrences_keep_their_state_in_fp32(name: str, in_fp32: set[str]) -> None:
    assert set(column(MATRICES[name][0].ops(WORK), "state_is_fp32")) == in_fp32


@pytest.mark.parametrize(
    ("part", "fields", "more"),
    [
        (MAMBA, {"use_conv_bias": False}, {"conv1d": -7}),
        (MAMBA, {"use_bias": True}, {"in_proj": 2 * 7, "out_proj": 5}),
        (MAMBA, {"dt_bc_norm": True}, {"dt, b and c layernorm": 2 + 2 * 3}),
        (MAMBA2, {"use_conv_bias": False}, {"conv1d": -40}),
        (MAMBA2, {"use_bias": True}, {"in_proj": 12 + 40 + 3, "out_proj": 5}),
        (MAMBA2, {"use_bias": True, "out_bias": False}, {"in_proj": 12 + 40 + 3}),
        (MAMBA2, {"out_bias": True}, {"out_proj": 5}),
        (MAMBA2, {"gated_norm": False}, {"norm": -12}),
        (LFM2, {"conv_bias": True}, {"in_proj": 3 * 5, "conv1d": 5, "out_proj": 5}),
    ],
)
def test_what_a_field_adds(part: Mamba | Mamba2 | ShortConv, fields: dict[str, bool], more: dict[str, int]) -> None:
    before, after = column(part.ops(WORK), "params"), column(part.but(**fields).ops(WORK), "params")
    added = {name: after.get(name, 0) - before.get(name, 0) for name in before | after}
    assert {name: size for name, size in added.items() if size} == more


def test_what_a_scan_and_a_convolution_move() -> None:
    ops = {op.name: op for op in MAMBA2.ops(WORK)}
    assert ops["conv1d"].activation_elements == 2 * TOKENS * 40
    assert ops["conv1d"].scratch_elements == TOKENS * 40
    assert ops["state_update"].activation_elements == 2 * TOKENS * 12
    assert ops["state_update"].scratch_elements == TOKENS * 12


def test_griffins_gates_read_their_input_once_and_write_two_gates() -> None:
    (gates,) = (op for op in GRIFFIN.ops(WORK) if op.name == "recurrence gates")
    assert gates.activation_elements == TOKENS * (6 + 2 * 6)


def test_the_docstrings_sum_of_mamba() -> None:
    # H * 2d + d (r + 2n) + r d + d + d n + d + d H + d * conv + d
    total = 5 * 14 + 7 * 8 + 2 * 7 + 7 + 7 * 3 + 7 + 7 * 5 + 7 * 4 + 7
    assert sum(op.params for op in MAMBA.ops(WORK)) == total


def test_the_docstrings_sum_of_mamba2() -> None:
    # H (2d + 2gn + heads) + (d + 2gn)(conv + bias) + 3 heads + d + d H
    total = 5 * (24 + 28 + 3) + (12 + 28) * (6 + 1) + 3 * 3 + 12 + 12 * 5
    assert sum(op.params for op in MAMBA2.ops(WORK)) == total


def test_kimi_k3_gates_by_one_map() -> None:
    """A map 11 -> 15 takes the place of 11 -> 5 -> 15."""
    left, right = column(KIMI.ops(WORK), "params"), column(KIMI.but(full_rank_gate=True).ops(WORK), "params")
    assert (left.pop("g_a_proj"), left.pop("g_b_proj")) == (11 * 5, 5 * 15)
    assert right == left | {"g_proj": 11 * 15}


def test_jet_nemotrons_taps_are_made_by_each_token() -> None:
    """Through 4 features to 6 taps for each of 15 value channels; the state holds 5 tokens of them."""
    plain, dynamic = QWEN3_NEXT, QWEN3_NEXT.but(dynamic_conv_width=4)
    left, right = column(plain.ops(WORK), "params"), column(dynamic.ops(WORK), "params")
    assert left.pop("conv1d") == (8 + 8 + 15) * 6
    assert right == left | {"dynamic_conv.w1": 11 * 4, "dynamic_conv.w2": 4 * 15 * 6 + 15 * 6}
    assert column(dynamic.ops(WORK), "flops")["conv1d"] == 2 * TOKENS * 15 * 6
    assert column(dynamic.ops(WORK), "state_elements")["conv1d"] == WORK.batch_size * 15 * 5


def test_lightning_attention_with_biases_and_norms() -> None:
    """Three vectors of 6 and one of 5 as biases; norms of 3 over each head of queries and keys."""
    plain, full = MINIMAX, MINIMAX.but(qkv_bias=True, o_bias=True, qk_norm=6)
    left, right = column(plain.ops(WORK), "params"), column(full.ops(WORK), "params")
    changed = {"qkv_proj": left["qkv_proj"] + 3 * 6, "out_proj": left["out_proj"] + 5, "qk_norm": 6}
    assert right == left | changed
