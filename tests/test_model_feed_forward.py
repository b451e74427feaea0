"""Feed-forwards and small parts on tiny sizes: what they store, read and compute, each number worked by hand.

H hidden_size, I intermediate size, E experts, k per token, Z zero-compute experts. The work: B = 2 sequences with
T = 3 new tokens of S = 5, so 6 tokens.
"""

from collections.abc import Iterable

import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.model.basic_parts import Constants, Head, Norm, Product, Projection, Table
from sparsecalc.model.feed_forward import DenseMlp, IdleExperts, Moe

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS = 2 * 3


def column(ops: Iterable[Op], name: str) -> dict[str, float]:
    """What the ops have of one column, by their names; zeros are left out."""
    return {op.name: getattr(op, name) for op in ops if getattr(op, name)}


# --- DenseMlp -------------------------------------------------------------------------------------------------------

MLP = DenseMlp(hidden_size=5, intermediate_size=7)


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, {"gate_up_proj": 2 * 5 * 7, "down_proj": 7 * 5}),
        ({"gated": False}, {"up_proj": 5 * 7, "down_proj": 7 * 5}),
        ({"up_bias": True}, {"gate_up_proj": 2 * 5 * 7 + 2 * 7, "down_proj": 7 * 5}),
        ({"gated": False, "up_bias": True, "down_bias": True}, {"up_proj": 5 * 7 + 7, "down_proj": 7 * 5 + 5}),
    ],
)
def test_dense_mlp_params(fields: dict[str, bool], params: dict[str, int]) -> None:
    assert column(MLP.but(**fields).ops(WORK), "params") == params


def test_dense_mlp_flops() -> None:
    assert column(MLP.ops(WORK), "flops") == {"gate_up_proj": 2 * TOKENS * 2 * 5 * 7, "down_proj": 2 * TOKENS * 7 * 5}


# --- Moe ------------------------------------------------------------------------------------------------------------

MOE = Moe(hidden_size=6, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=5)
PARAMS = {"router": 6 * 4, "experts.gate_up_proj": 4 * 2 * 6 * 5, "experts.down_proj": 4 * 5 * 6}
ZERO = MOE.but(zero_experts=2)
"""Of two selected among six, 2 * 4 / 6 = 4/3 have weights."""


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, PARAMS),
        ({"gated": False}, {"router": 6 * 4, "experts.up_proj": 4 * 6 * 5, "experts.down_proj": 4 * 5 * 6}),
        (
            {"expert_bias": True},
            PARAMS | {"experts.gate_up_proj": 4 * 2 * (6 * 5 + 5), "experts.down_proj": 4 * (5 * 6 + 6)},
        ),
        (
            {"expert_input_size": 3},
            PARAMS | {"experts.gate_up_proj": 4 * 2 * 3 * 5, "experts.down_proj": 4 * 5 * 3},
        ),
        ({"router_input_size": 3}, PARAMS | {"router": 3 * 4}),
        ({"router_bias": True}, PARAMS | {"router.bias": 4}),
        ({"router_bias": True, "router_scales": 3}, PARAMS | {"router.bias": 4 + 3}),
        ({"zero_experts": 2}, PARAMS | {"router": 6 * (4 + 2)}),
        ({"zero_experts": 2, "router_bias": True}, PARAMS | {"router": 6 * (4 + 2), "router.bias": 4 + 2}),
        ({"shared_intermediate_size": 3}, PARAMS | {"gate_up_proj": 2 * 6 * 3, "down_proj": 3 * 6}),
        (
            {"shared_intermediate_size": 3, "shared_bias": True, "shared_gate": True},
            PARAMS | {"gate_up_proj": 2 * 6 * 3 + 2 * 3, "down_proj": 3 * 6 + 6, "shared_expert_gate": 6},
        ),
    ],
)
def test_moe_params(fields: dict[str, object], params: dict[str, int]) -> None:
    assert column(MOE.but(**fields).ops(WORK), "params") == params


def test_moe_computes_with_the_experts_of_each_token() -> None:
    assert column(MOE.but(shared_intermediate_size=3).ops(WORK), "flops") == {
        "router": 2 * TOKENS * 6 * 4,
        "experts.gate_up_proj": 2 * TOKENS * 2 * 2 * 6 * 5,
        "experts.down_proj": 2 * TOKENS * 2 * 5 * 6,
        "gate_up_proj": 2 * TOKENS * 2 * 6 * 3,
        "down_proj": 2 * TOKENS * 3 * 6,
    }


def test_moe_uses_a_share_of_the_stored_experts() -> None:
    active = column(MOE.but(expert_bias=True).ops(WORK), "active_params")
    assert active == {
        "router": 6 * 4,
        "experts.gate_up_proj": 2 * 2 * (6 * 5 + 5),
        "experts.down_proj": 2 * (5 * 6 + 6),
    }


def test_moe_reads_the_distinct_experts_of_all_tokens() -> None:
    read = column(MOE.ops(WORK), "read_params")
    distinct = 4 * (1 - (1 - 2 / 4) ** TOKENS)
    assert read["experts.down_proj"] == pytest.approx(distinct * 5 * 6, rel=1e-12)
    assert read["router"] == 6 * 4


def test_moe_reads_what_its_routing_reaches() -> None:
    skewed = WORK.but(routing=Routing(kind="measured", shares=((6, 1, 1, 0),)))  # p_e = 1, 1/2, 1/2, 0
    read = column(MOE.ops(skewed), "read_share")
    assert read["experts.down_proj"] == pytest.approx((1 + 2 * (1 - (1 / 2) ** TOKENS)) / 4, rel=1e-12)


def test_moe_counts_tokens_of_one_request_as_the_routing_says() -> None:
    alike = WORK.but(routing=Routing(correlation=0.5))  # 2 + 1/2 * (6 - 2) = 4 independent tokens
    assert column(MOE.ops(alike), "read_share")["experts.down_proj"] == pytest.approx(1 - (1 / 2) ** 4, rel=1e-12)


@pytest.mark.parametrize(("name", "n_in", "n_out"), [("experts.gate_up_proj", 6, 2 * 5), ("experts.down_proj", 5, 6)])
def test_moe_rows_of_activations(name: str, n_in: int, n_out: int) -> None:
    (op,) = (op for op in MOE.ops(WORK) if op.name == name)
    assert op.tokens == TOKENS * 2
    assert op.activation_elements == TOKENS * 2 * (n_in + n_out)
    assert op.scratch_elements == TOKENS * 2 * n_out


def test_routers_and_gates_are_copied_to_every_device() -> None:
    shards = column(MOE.but(shared_intermediate_size=3, shared_gate=True).ops(WORK), "shards")
    assert shards == {"router": 1, "shared_expert_gate": 1}


def test_zero_experts_take_their_share_of_the_tokens() -> None:
    ops = {op.name: op for op in ZERO.ops(WORK)}
    down = ops["experts.down_proj"]
    assert down.tokens == TOKENS * 2 * 4 // 6
    assert down.flops == 2 * TOKENS * 2 * 5 * 6 * 4 // 6
    assert down.read_share == pytest.approx(1 - (1 - (4 / 3) / 4) ** TOKENS, rel=1e-12)
    assert (down.zero_experts, down.expected_experts_per_tok) == (2, 2 * 4 / 6)
    assert down.active_params == 2 * 5 * 6  # the upper bound: both have weights
    assert ops["router"].flops == 2 * TOKENS * 6 * 6
    assert ZERO.router_outputs == 4 + 2


def test_more_selected_experts_than_there_are() -> None:
    assert ZERO.but(num_experts_per_tok=6).num_experts_per_tok == 6
    with pytest.raises(ValueError, match=r"is 7, more than num_experts \(4\)"):
        ZERO.but(num_experts_per_tok=7)


def test_idle_experts_are_stored_and_nothing_else() -> None:
    idle = IdleExperts(hidden_size=6, num_experts=4, moe_intermediate_size=5, router_bias=True)
    stored = {"vision_router": 4 * 6 + 4, "vision_experts.gate_up_proj": 4 * 2 * 6 * 5}
    assert column(idle.ops(WORK), "params") == stored | {"vision_experts.down_proj": 4 * 5 * 6}
    assert column(idle.but(router_bias=False).ops(WORK), "params")["vision_router"] == 4 * 6
    for name in ("active_params", "read_params", "flops", "tokens"):
        assert not column(idle.ops(WORK), name)


# --- small parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "params"),
    [({}, {"norm": 7}), ({"bias": True}, {"norm": 2 * 7}), ({"gain": False}, {}), ({"name": "ln"}, {"ln": 7})],
)
def test_norm(fields: dict[str, object], params: dict[str, int]) -> None:
    ops = list(Norm(size=7, **fields).ops(WORK))
    assert column(ops, "params") == params
    assert {op.component for op in ops} == {"norm"}
    assert not column(ops, "flops")


@pytest.mark.parametrize(("rows", "share"), [(20, TOKENS / 20), (6, 1), (4, 1)])
def test_a_table_is_read_by_the_row(rows: int, share: float) -> None:
    (op,) = Table(rows=rows, size=3).ops(WORK)
    assert (op.component, op.kind, op.params, op.flops) == ("embedding", "lookup", rows * 3, 0)
    assert op.read_share == share
    assert op.activation_elements == TOKENS * 3


def test_projection() -> None:
    (op,) = Projection(name="map", in_features=3, out_features=5, bias=True, matrices=2, per_token=4).ops(WORK)
    assert (op.component, op.params) == ("other", 2 * (3 * 5 + 5))
    assert (op.tokens, op.flops) == (TOKENS * 4, 2 * TOKENS * 4 * 2 * 3 * 5)


@pytest.mark.parametrize(("component", "role"), [("other", ""), ("dense_ffn", "neurons")])
def test_a_plain_projection(component: str, role: str) -> None:
    (op,) = Projection(name="map", component=component, in_features=3, out_features=5).ops(WORK)
    assert (op.component, op.role, op.params, op.tokens) == (component, role, 3 * 5, TOKENS)


def test_a_product_of_activations_stores_nothing() -> None:
    (op,) = Product(name="mix", rows=4, in_features=3, out_features=5).ops(WORK)
    assert (op.params, op.tokens) == (0, TOKENS * 4)
    assert op.flops == TOKENS * (2 * 4 * 3 * 5)
    assert op.activation_elements == TOKENS * 4 * (3 + 5)
    assert op.scratch_elements == TOKENS * 4 * 5


def test_constants() -> None:
    (op,) = Constants(name="scale", component="attention", elements=9).ops(WORK)
    assert (op.name, op.component, op.kind, op.params, op.flops) == ("scale", "attention", "vector", 9, 0)


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"tied": False}, {"lm_head": 3 * 7}),
        ({"tied": True}, {}),
        ({"tied": False, "bias": True}, {"lm_head": 3 * 7, "lm_head.bias": 7}),
        ({"tied": True, "bias": True}, {"lm_head.bias": 7}),
    ],
)
def test_head_params(fields: dict[str, bool], params: dict[str, int]) -> None:
    assert column(Head(in_features=3, out_features=7, **fields).ops(WORK), "params") == params


@pytest.mark.parametrize(("logits", "rows"), [("all", TOKENS), ("last", 2)])
@pytest.mark.parametrize("tied", [True, False])
def test_head_flops(logits: str, rows: int, tied: bool) -> None:
    head = Head(in_features=3, out_features=7, tied=tied)
    assert column(head.ops(WORK.but(logits=logits)), "flops") == {"lm_head": 2 * rows * 3 * 7}


def test_a_table_of_n_grams_is_active_where_it_is_looked_up() -> None:
    """Each token reads 4 of 100 rows of 3: so many are active, and as many more are read as there are tokens."""
    (op,) = Table(rows=100, size=3, lookups=4).ops(WORK)
    assert (op.params, op.active_params) == (300, 12)
    assert op.read_share == min(1, WORK.tokens * 4 / 100)
    assert op.activation_elements == WORK.tokens * 4 * 3
