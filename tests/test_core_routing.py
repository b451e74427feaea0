"""Routing of tokens to experts, on cases of two to five experts that are worked by hand."""

from itertools import combinations
from math import log, log2

import numpy as np
import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.expert_placement import balance, in_order, typical_orders
from sparsecalc.core.expert_shares import (
    expected_experts_per_tok,
    gamma_quantiles,
    inclusion_probabilities,
    zipf_shares,
)
from sparsecalc.core.routing import Routing, expected_distinct_experts, expert_capacity

UNIFORM = Routing()
THREE_TO_ONE = Routing(kind="measured", shares=((3, 1),))
"""With k = 1: p_e = 3/4 and 1/4."""
TWO_LAYERS = Routing(kind="measured", shares=((3, 1), (1, 1)))
EXACT = 1e-12


# --- core/expert_shares ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "experts", "zero", "expected"), [(2, 8, 0, 2), (6, 4, 2, 6 * 4 / 6), (12, 2, 1, 8)])
def test_expected_experts_with_weights(k: int, experts: int, zero: int, expected: float) -> None:
    assert expected_experts_per_tok(k, experts, zero) == expected


@pytest.mark.parametrize(
    ("shares", "total", "probabilities"),
    [
        ((3, 1), 1, (3 / 4, 1 / 4)),
        ((30, 10), 1, (3 / 4, 1 / 4)),
        ((6, 1, 1), 2, (1, 1 / 2, 1 / 2)),  # 2 * 6/8 is above 1: the other two share what is left, 2 - 1
        ((12, 8, 1, 1), 3, (1, 1, 1 / 2, 1 / 2)),  # 3 * 12/22 is above 1, then 2 * 8/10 as well
        ((1, 1, 0), 2, (1, 1, 0)),
    ],
)
def test_inclusion_probabilities(shares: tuple[float, ...], total: float, probabilities: tuple[float, ...]) -> None:
    assert inclusion_probabilities(shares, total) == pytest.approx(probabilities, rel=EXACT)


def test_fewer_experts_with_a_share_than_a_token_selects() -> None:
    with pytest.raises(InputError, match="fewer than 3 experts have a share"):
        inclusion_probabilities((1, 1, 0), 3)


def test_zipf_shares() -> None:
    assert zipf_shares(2, 4) == (1, 1 / 4, 1 / 9, 1 / 16)
    assert zipf_shares(0, 3) == (1, 1, 1)


@pytest.mark.parametrize("count", [1, 2, 10, 256])
def test_gamma_quantiles_of_shape_one_are_those_of_the_exponential(count: int) -> None:
    # F(x) = 1 - exp(-x), so the quantile of q is -log(1 - q); as shares: their common factor does not matter
    quantiles = np.array(gamma_quantiles(1, count))
    exact = np.array([-log(1 - (i + 0.5) / count) for i in reversed(range(count))])
    assert quantiles / quantiles.sum() == pytest.approx(exact / exact.sum(), rel=1e-5)
    assert quantiles == pytest.approx(exact, rel=3e-3)


def test_gamma_quantiles_of_a_small_shape() -> None:
    # for x far below 1, F(x) ~ x^(1/2): of the quantiles 1/2, 3/2 and 5/2 thousandths, x is as 1 : 3^2 : 5^2
    fifth, third, first = gamma_quantiles(0.5, 1000)[-3:]
    assert (third / first, fifth / first) == pytest.approx((9, 25), rel=1e-3)


# --- core/expert_placement ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experts", "ranks", "held"), [(4, 2, [[0, 1], [2, 3]]), (5, 2, [[0, 1], [2, 3, 4]]), (3, 3, [[0], [1], [2]])]
)
def test_experts_in_order(experts: int, ranks: int, held: list[list[int]]) -> None:
    assert in_order(range(experts), ranks) == tuple(tuple((e, 1) for e in rank) for rank in held)


@pytest.mark.parametrize(
    ("loads", "ranks", "replicas", "arrangement"),
    [
        # 4 to the first rank, 2 and 1 to the second, which is then full; the last 1 to the first
        ((4, 2, 1, 1), 2, 0, (((0, 1), (2, 1)), ((1, 1), (3, 1)))),
        # two more copies of expert 0: slots of 2 (expert 1), 2, 2, 2 (expert 0), 1, 1; two on each of three ranks
        ((6, 2, 1, 1), 3, 2, (((1, 1), (0, 3)), ((0, 3), (3, 1)), ((0, 3), (2, 1)))),
        # one copy more: the load per copy is 3, 3, 2; rank 0 takes 3 and then the 2, since ranks share 4 slots
        ((6, 2), 1, 1, (((0, 2), (0, 2), (1, 1)),)),
        # the second copy is of expert 1, since 5/2 < 4
        ((5, 4), 4, 2, (((0, 2),), ((0, 2),), ((1, 2),), ((1, 2),))),
    ],
)
def test_balance(
    loads: tuple[float, ...], ranks: int, replicas: int, arrangement: tuple[tuple[tuple[int, int], ...], ...]
) -> None:
    assert balance(loads, ranks, replicas) == arrangement


def test_typical_orders_hold_every_expert_once_and_get_worse() -> None:
    row = (1.0, 0.5, 0.3, 0.2)
    orders = typical_orders(row, 2)
    assert [sorted(e for rank in order for e, _ in rank) for order in orders] == [[0, 1, 2, 3]] * 5
    largest = [max(sum(row[e] for e, _ in rank) for rank in order) for order in orders]
    assert largest == sorted(largest)
    assert set(largest) <= {1.0 + 0.5, 1.0 + 0.3, 1.0 + 0.2}  # the rank with expert 0 has the most
    assert len(set(largest)) > 1


def test_typical_orders_have_the_mean_of_all_orders() -> None:
    row = zipf_shares(1, 8)
    halves = [sum(row[e] for e in half) for half in combinations(range(8), 4)]
    mean = sum(max(half, sum(row) - half) for half in halves) / len(halves)
    typical = [max(sum(row[e] for e, _ in rank) for rank in order) for order in typical_orders(row, 2)]
    assert sum(typical) / 5 == pytest.approx(mean, rel=0.015)


# --- which experts are selected -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routing", "experts", "k", "inclusion"),
    [
        (UNIFORM, 4, 2, [2 / 4] * 4),
        (UNIFORM, 4, 1.5, [1.5 / 4] * 4),
        (Routing(kind="zipf", exponent=1), 3, 1, [6 / 11, 3 / 11, 2 / 11]),  # 1 : 1/2 : 1/3
        (THREE_TO_ONE, 2, 1, [3 / 4, 1 / 4]),
        (TWO_LAYERS, 2, 1, [(3 / 4 + 1 / 2) / 2, (1 / 4 + 1 / 2) / 2]),
    ],
)
def test_inclusion(routing: Routing, experts: int, k: float, inclusion: list[float]) -> None:
    assert routing.inclusion(experts, k) == pytest.approx(inclusion, rel=EXACT)


def test_inclusion_of_a_typical_dirichlet_draw() -> None:
    # concentration 1: quantiles 3/4 and 1/4 of the exponential distribution, log 4 and log 4/3
    share = log(4) / (log(4) + log(4 / 3))
    inclusion = Routing(kind="dirichlet", concentration=1).inclusion(2, 1)
    assert inclusion == pytest.approx([share, 1 - share], rel=1e-4)


def test_by_layer_keeps_the_measured_layers_apart() -> None:
    assert TWO_LAYERS.by_layer(2, 1) == ((3 / 4, 1 / 4), (1 / 2, 1 / 2))
    assert UNIFORM.by_layer(2, 1) == ((1 / 2, 1 / 2),)


def test_placements_are_in_order_where_the_order_is_known() -> None:
    row = (0.75, 0.25)
    assert THREE_TO_ONE.placements(row, 2) == ((((0, 1),), ((1, 1),)),)
    assert len(Routing(kind="zipf", exponent=1).placements(row, 2)) == 5


def test_shares_of_another_number_of_experts() -> None:
    with pytest.raises(InputError, match="2 experts, and the layer has 3"):
        THREE_TO_ONE.inclusion(3, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"correlation": 0},
        {"correlation": 1.5},
        {"exponent": -1},
        {"concentration": 0},
        {"kind": "measured"},
        {"kind": "measured", "shares": ((1, 1), (0, 0))},
    ],
)
def test_no_distribution(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"correlation|exponent|shares"):
        Routing(**fields)


@pytest.mark.parametrize(
    ("routing", "name"),
    [
        (UNIFORM, "uniform"),
        (Routing(kind="zipf", exponent=1.2, correlation=0.5), "zipf:1.2,correlation=0.5"),
        (Routing(kind="dirichlet", concentration=3), "dirichlet:3"),
        (Routing(kind="measured", shares=((1,),), source="counts.csv"), "counts.csv"),
    ],
)
def test_name_is_what_is_typed(routing: Routing, name: str) -> None:
    assert routing.name == name


# --- distinct experts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experts", "k", "tokens", "distinct"),
    [
        (4, 2, 1, 2),
        (4, 2, 2, 4 * (1 - (1 / 2) ** 2)),
        (8, 2, 3, 8 * (1 - (3 / 4) ** 3)),
        (8, 2, 10**6, 8),
        (8, 2, 0, 0),
        (0, 0, 5, 0),
    ],
)
def test_distinct_experts_of_uniform_routing(experts: int, k: int, tokens: int, distinct: float) -> None:
    assert expected_distinct_experts(experts, k, tokens) == pytest.approx(distinct, rel=EXACT)
    assert UNIFORM.expected_distinct(experts, k, tokens) == pytest.approx(distinct, rel=EXACT)


@pytest.mark.parametrize(
    ("routing", "tokens", "distinct"),
    [
        (THREE_TO_ONE, 2, (1 - (1 / 4) ** 2) + (1 - (3 / 4) ** 2)),
        (THREE_TO_ONE, 1, 1),
        (THREE_TO_ONE, 0, 0),
        (TWO_LAYERS, 2, ((1 - 1 / 16) + (1 - 9 / 16) + 2 * (1 - 1 / 4)) / 2),
    ],
)
def test_distinct_experts_of_measured_routing(routing: Routing, tokens: int, distinct: float) -> None:
    assert routing.expected_distinct(2, 1, tokens) == pytest.approx(distinct, rel=EXACT)
    if tokens:
        assert routing.expected_distinct(2, 1, np.array([1.0, tokens])) == pytest.approx([1, distinct], rel=EXACT)


def test_correlated_tokens_count_in_part() -> None:
    half = Routing(correlation=0.5)
    assert half.independent_tokens(10, 2) == 2 + 0.5 * (10 - 2)
    assert half.independent_tokens(10) == 10
    assert UNIFORM.independent_tokens(10, 2) == 10
    assert half.expected_distinct(4, 2, 3, 1) == pytest.approx(4 * (1 - (1 / 2) ** 2), rel=EXACT)


# --- the busiest rank -----------------------------------------------------------------------------------------------

COINS = np.array([1, 2, 1]) / 4
"""Chances of 0, 1, 2 of a binomial of 2 and 1/2."""
RARE = np.array([81, 108, 54, 12, 1]) / 256
"""The same of 4 and 1/4."""


def largest(*counts: np.ndarray) -> float:
    """E[max] = sum over m of 1 - the product of P(N <= m)."""
    reached = [np.append(count, np.zeros(5 - count.size)).cumsum() for count in counts]
    return float((1 - np.prod(reached, axis=0)).sum())


@pytest.mark.parametrize(
    ("routing", "experts", "ranks", "pairs", "distinct"),
    [
        # T = 2, k = 1. Each rank: mean 2 * 1/2, variance 2 * 1/4, so 2 trials of 1/2; distinct: at least one of a step
        (UNIFORM, 2, 2, largest(COINS, COINS), 1),
        # each rank two experts of 1/4: mean 1, variance 2 * 2 * 3/16 = 3/4, so 4 trials of 1/4; hits of 1 - (3/4)^2
        (UNIFORM, 4, 2, largest(RARE, RARE), 2 - (9 / 16) ** 4 - (1 - (7 / 16) ** 2) ** 2),
        # 2 trials of 3/4, and of 1/4
        (THREE_TO_ONE, 2, 2, largest(np.array([1, 6, 9]) / 16, np.array([9, 6, 1]) / 16), 1),
        # the same: of two ranks with one expert each no order is worse than another; 1 : 2^-log2(3) = 3 : 1
        (Routing(kind="zipf", exponent=log2(3)), 2, 2, (1 - 9 / 256) + (1 - 105 / 256), 1),
        (TWO_LAYERS, 2, 2, ((1 - 9 / 256) + (1 - 105 / 256) + largest(COINS, COINS)) / 2, 1),
    ],
)
def test_busiest_rank(routing: Routing, experts: int, ranks: int, pairs: float, distinct: float) -> None:
    load = routing.busiest_rank(experts, 1, 2, ranks)
    assert load.pairs == pytest.approx(pairs, rel=EXACT)
    assert load.distinct == pytest.approx(distinct, rel=EXACT)
    assert load.imbalance == pytest.approx(pairs / (2 * 1 / ranks), rel=EXACT)


def test_one_token_keeps_one_rank_busy() -> None:
    load = UNIFORM.busiest_rank(4, 1, 1, 4)
    assert (load.pairs, load.distinct, load.imbalance) == (1, 1, 4)


def test_half_an_expert_of_one_token() -> None:
    # zero-compute experts leave k = 1/2: no rank has less than the expected half of a pair
    assert UNIFORM.busiest_rank(4, 0.5, 1, 4).pairs == 0.5


def test_one_token_of_two_experts_on_two_ranks() -> None:
    # each rank: hits of 1/2 and 1/2, so 0, 1, 2 with 1/4, 1/2, 1/4; pairs and distinct experts are the same
    load = UNIFORM.busiest_rank(4, 2, 1, 2)
    assert load.pairs == load.distinct == pytest.approx(largest(COINS, COINS), rel=EXACT)


def test_one_rank_has_everything() -> None:
    load = UNIFORM.busiest_rank(4, 2, 3, 1)
    assert (load.pairs, load.distinct, load.imbalance) == (3 * 2, 4 * (1 - (1 / 2) ** 3), 1)


def test_balanced_ranks() -> None:
    # p_e = 1/4, 1/4, 1/2: the last expert alone on a rank, 2 trials of 1/2; beside it the others, 4 trials of 1/4
    skewed = Routing(kind="measured", shares=((1, 1, 2),))
    assert skewed.busiest_rank(3, 1, 2, 2, balanced=True).pairs == pytest.approx(largest(COINS, RARE), rel=EXACT)
    assert skewed.busiest_rank(3, 1, 2, 2).pairs > 2 * 3 / 4  # in order, expert 0 is alone: the other rank has 3/4


def test_a_copy_halves_what_reaches_an_expert() -> None:
    # p_e = 2/3, 1/3 and a second copy of expert 0: three ranks of 1/3 each, 2 trials of 1/3: 4, 4, 1 of 9
    skewed = Routing(kind="measured", shares=((2, 1),))
    load = skewed.busiest_rank(2, 1, 2, 2, replicas=1, balanced=True)
    copies = np.array([4, 4, 1]) / 9
    one_and_one = np.convolve(copies, copies)  # two slots on one rank: 4 trials of 1/3
    assert load.pairs == pytest.approx(largest(one_and_one, copies), rel=EXACT)


def test_correlated_tokens_leave_ranks_less_even() -> None:
    # 1 + 1/2 * (3 - 1) = 2 independent tokens: their imbalance, of 3 tokens' pairs
    load = Routing(correlation=0.5).busiest_rank(2, 1, 3, 2, sequences=1)
    assert load.imbalance == pytest.approx(largest(COINS, COINS), rel=EXACT)
    assert load.pairs == pytest.approx(largest(COINS, COINS) * 3 * 1 / 2, rel=EXACT)


def test_busiest_rank_of_an_array() -> None:
    load = UNIFORM.busiest_rank(4, 2, np.array([2.0, 3.0, 50.0]), 2)
    single = [UNIFORM.busiest_rank(4, 2, tokens, 2) for tokens in (2, 3, 50)]
    assert load.pairs == pytest.approx([one.pairs for one in single], rel=1e-9)
    assert load.distinct == pytest.approx([one.distinct for one in single], rel=1e-9)


@pytest.mark.parametrize("ranks", [0, 3])
def test_more_ranks_than_experts(ranks: int) -> None:
    with pytest.raises(InputError, match=f"{ranks} ranks share 2 experts"):
        UNIFORM.busiest_rank(2, 1, 2, ranks)


# --- dropped tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experts", "k", "tokens", "factor", "capacity"), [(4, 2, 6, 1.25, 4), (4, 2, 6, 1, 3), (8, 1, 4, 1, 1)]
)
def test_capacity_is_rounded_up(experts: int, k: int, tokens: int, factor: float, capacity: int) -> None:
    assert expert_capacity(experts, k, tokens, factor) == capacity  # 1.25 * 2 * 6 / 4 = 3.75; 3; 1/2


@pytest.mark.parametrize(
    ("routing", "factor", "dropped"),
    [
        # two tokens, one expert each, C = 1: an expert with both drops one of the two
        (UNIFORM, 1, (1 / 4 + 1 / 4) / 2),
        (THREE_TO_ONE, 1, (9 / 16 + 1 / 16) / 2),
        (TWO_LAYERS, 1, (10 / 16 + 8 / 16) / 2 / 2),
        (THREE_TO_ONE, 1.5, 0),  # C = ceil(1.5) = 2
    ],
)
def test_drop_rate(routing: Routing, factor: float, dropped: float) -> None:
    assert routing.drop_rate(2, 1, 2, factor) == pytest.approx(dropped, rel=EXACT)


def test_drop_rate_is_a_share_of_the_pairs() -> None:
    # E = 4, k = 2, T = 2, C = 1: every expert gets both tokens with 1/4; 4 * 1/4 of 2 * 2 pairs
    assert UNIFORM.drop_rate(4, 2, 2, 1) == pytest.approx(4 * 1 / 4 / (2 * 2), rel=EXACT)
