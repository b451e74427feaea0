"""Routing of tokens to experts: distinct experts, the busiest rank, EPLB, drops, files of counts, the command."""

import csv
import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.core.expected_max import binomial, expected_excess, expected_max, expected_max_hits
from sparsecalc.core.expert_placement import balance
from sparsecalc.core.routing import Routing, expected_distinct_experts
from sparsecalc.core.workload import Workload
from sparsecalc.decide.routing import RoutingQuestion, route
from sparsecalc.estimate.costs import experts, memory
from sparsecalc.estimate.load import Load
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.library.routing_files import load_routing
from sparsecalc.model.derived_parts import Weights
from sparsecalc.model.feed_forward import Moe

OLMOE = Path(__file__).parent / "olmoe_github_routing.json"
GITHUB_L7 = Routing(kind="measured", shares=(tuple(json.loads(OLMOE.read_text())["shares"][1]),))
ZIPF = Routing(kind="zipf", exponent=0.8)
KINDS = [Routing(), ZIPF, Routing(kind="dirichlet", concentration=0.5), GITHUB_L7]
SHAPES = [(8, 2), (64, 8), (256, 8)]


def pmf(counts: Any, trials: int, p: float) -> Any:
    """Binomial probabilities, by the logarithms of factorials."""
    log_ways = [math.lgamma(trials + 1) - math.lgamma(n + 1) - math.lgamma(trials - n + 1) for n in counts.tolist()]
    with np.errstate(divide="ignore", invalid="ignore"):
        weighed = log_ways + counts * np.log(p) + np.where(counts == trials, 0, (trials - counts) * np.log1p(-p))
    return np.exp(weighed)


def names(value: object) -> str:
    return value.name if isinstance(value, Routing) else str(value)


# --- inclusion probabilities and distinct experts -------------------------------------------------------------------

kinds = st.one_of(
    st.just(Routing()),
    st.builds(Routing, kind=st.just("zipf"), exponent=st.floats(0, 3)),
    st.builds(Routing, kind=st.just("dirichlet"), concentration=st.floats(0.05, 100)),
)


@given(kinds, st.integers(1, 300), st.data())
@settings(max_examples=60)
def test_inclusion_and_limits(routing: Routing, num_experts: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, num_experts))
    p = routing.inclusion(num_experts, k)
    assert len(p) == num_experts
    assert math.isclose(sum(p), k, rel_tol=1e-9)
    assert all(0 <= chance <= 1 for chance in p)
    reached = [routing.expected_distinct(num_experts, k, tokens) for tokens in (0, 1, 2, 5, 40, 10**9)]
    assert reached[0] == 0
    assert math.isclose(reached[1], k, rel_tol=1e-9)
    assert all(a <= b + 1e-9 for a, b in pairwise(reached))
    assert reached[-1] <= num_experts + 1e-9
    assert all(
        r <= expected_distinct_experts(num_experts, k, t) + 1e-9
        for r, t in zip(reached, (0, 1, 2, 5, 40), strict=False)
    )


@pytest.mark.parametrize("routing", KINDS[:3], ids=names)
def test_all_experts_in_the_limit(routing: Routing) -> None:
    assert routing.expected_distinct(64, 8, 10**9) == pytest.approx(64, rel=1e-6)


def test_uniform_is_the_closed_form_to_the_bit() -> None:
    for tokens in (1, 7, 4096):
        assert Routing().expected_distinct(128, 8, tokens) == expected_distinct_experts(128, 8, tokens)
    assert Routing().expected_distinct(0, 0, 5) == 0


@pytest.mark.parametrize("routing", KINDS, ids=names)
def test_arrays_give_what_numbers_give(routing: Routing) -> None:
    tokens = np.array([[1.0, 2.0, 17.0], [64.0, 1000.0, 9e6]])
    found = routing.expected_distinct(64, 8, tokens)
    alone = [[routing.expected_distinct(64, 8, t) for t in row] for row in tokens.tolist()]
    assert found.shape == tokens.shape
    np.testing.assert_allclose(found, alone, rtol=1e-12)
    whole = routing.busiest_rank(64, 8, tokens, 1)
    np.testing.assert_allclose(whole.pairs, 8 * tokens)
    np.testing.assert_allclose(whole.distinct, alone, rtol=1e-12)
    np.testing.assert_array_equal(whole.imbalance, np.ones_like(tokens))


@pytest.mark.parametrize("routing", KINDS, ids=names)
def test_a_sweep_of_the_busiest_rank_is_near_its_points(routing: Routing) -> None:
    tokens = np.unique(np.geomspace(1, 50_000, 300).round())
    found = routing.busiest_rank(64, 8, tokens, 8)
    for t, pairs, distinct in list(zip(tokens.tolist(), found.pairs, found.distinct, strict=True))[::17]:
        alone = routing.busiest_rank(64, 8, t, 8)
        assert pairs == pytest.approx(alone.pairs, rel=1e-3)
        assert distinct == pytest.approx(alone.distinct, rel=1e-3)


def test_correlated_tokens_reach_fewer_experts() -> None:
    alike = Routing(correlation=0.5)
    assert alike.expected_distinct(64, 8, 40, 8) == Routing().expected_distinct(64, 8, 24)
    assert alike.expected_distinct(64, 8, 8, 8) == Routing().expected_distinct(64, 8, 8)
    assert alike.busiest_rank(64, 8, 4096, 8, sequences=1).imbalance > Routing().busiest_rank(64, 8, 4096, 8).imbalance


def test_dirichlet_shares_are_those_of_a_typical_draw() -> None:
    """Quantiles of a gamma distribution: -log(1 - u) for shape 1, and those of many draws for others."""
    middles = (np.arange(64) + 0.5) / 64
    rng = np.random.default_rng(0)
    for shape in (0.1, 0.5, 1.0, 2.0, 300.0):
        drawn = np.quantile(rng.gamma(shape, size=400_000), middles) if shape != 1 else -np.log(1 - middles)
        found = Routing(kind="dirichlet", concentration=shape).inclusion(64, 1)
        np.testing.assert_allclose(found, drawn[::-1] / drawn.sum(), rtol=0.02, atol=2e-4)


def test_a_share_over_the_limit_is_capped_and_the_rest_scaled_up() -> None:
    found = Routing(kind="measured", shares=((0.7, 0.2, 0.1),)).inclusion(3, 2)
    assert found == pytest.approx((1.0, 2 / 3, 1 / 3))


def test_shares_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="64 experts, and the layer has 8"):
        GITHUB_L7.expected_distinct(8, 2, 4)
    with pytest.raises(InputError, match="fewer than 2 experts have a share"):
        Routing(kind="measured", shares=((1.0, 0.0, 0.0),)).inclusion(3, 2)


@pytest.mark.parametrize(
    "fields", [{"correlation": 0.0}, {"correlation": 1.5}, {"exponent": -1.0}, {"kind": "measured"}], ids=str
)
def test_contradictions_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"correlation|exponent|shares"):
        Routing(**fields)


# --- against cited figures ------------------------------------------------------------------------------------------


def test_mixtral_by_hand() -> None:
    """8 (1 - (3/4)^4) = 5.47 of 8; with 1.6 B other weights of 46.7 B that is 69.4 %, 0.3 % of it the input table."""
    assert Routing().expected_distinct(8, 2, 4) == pytest.approx(5.47, abs=0.005)
    assert Routing().expected_distinct(8, 2, 16) == pytest.approx(7.92, abs=0.005)
    spec = load_model("mixtral-8x7b").spec
    precision = precision_for(spec, "bf16", None)
    load = Load(batch_size=4, context_len=128, max_num_batched_tokens=512)
    used, held = experts(spec, precision, load, Routing()), memory(spec, precision, load)
    assert used
    assert used.weight_bytes_read / held.weights_bytes + 32_000 * 4096 / 46.7e9 == pytest.approx(0.694, abs=0.001)


def test_deepseek_v3_by_hand() -> None:
    """256 (1 - (31/32)^t); EP32 at 256 tokens: the normal approximation gives 1.255."""
    assert Routing().expected_distinct(256, 8, 16) == pytest.approx(101.96, abs=0.005)
    assert Routing().expected_distinct(256, 8, 64) == pytest.approx(222.44, abs=0.005)
    assert Routing().busiest_rank(256, 8, 256, 32).imbalance == pytest.approx(1.255, abs=0.01)


def test_olmoe_on_source_code() -> None:
    """Layer 7 of OLMoE's published counts (allenai/OLMoE, scripts/routing_output): skewed like Zipf of 0.87."""
    shares = np.sort(GITHUB_L7.shares[0])[::-1]
    ranks = np.arange(1, 65)
    likelihood = {
        s / 100: float(shares @ np.log(ranks ** -(s / 100) / (ranks ** -(s / 100)).sum())) for s in range(200)
    }
    assert max(likelihood, key=likelihood.__getitem__) == pytest.approx(0.87, abs=0.01)
    assert GITHUB_L7.expected_distinct(64, 8, 32) == pytest.approx(49.6, abs=0.05)
    assert GITHUB_L7.busiest_rank(64, 8, 10**6, 8).imbalance == pytest.approx(2.14, abs=0.005)


@pytest.mark.parametrize(("factor", "dropped"), [(1.0, 0.0495), (1.25, 0.0013)])
def test_drops_of_a_switch_transformer(factor: float, dropped: float) -> None:
    """4096 tokens, 64 experts, top-1: the exact binomial, here by its formula."""
    capacity = math.ceil(factor * 64)
    counts = np.arange(capacity, 4097)
    exact = 64 * float((pmf(counts, 4096, 1 / 64) * (counts - capacity)).sum()) / 4096
    assert exact == pytest.approx(dropped, abs=0.0005)
    assert Routing().drop_rate(64, 1, 4096, factor) == pytest.approx(exact, rel=1e-9)


def test_drops_of_skewed_routing_in_the_limit() -> None:
    """sum of max(0, share - factor / E)."""
    shares = GITHUB_L7.shares[0]
    limit = sum(max(0, share - 1 / 64) for share in shares) / sum(shares)
    assert GITHUB_L7.drop_rate(64, 8, 10**8, 1.0) == pytest.approx(limit, rel=1e-3)
    assert GITHUB_L7.drop_rate(64, 8, 512, 64) == 0


# --- chance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trials", "p"), [(8, 0.03), (40, 0.5), (900, 0.77), (10, 0.999), (5, 1.0)])
def test_binomial(trials: int, p: float) -> None:
    start, chances = binomial(trials * p, p)
    np.testing.assert_allclose(chances, pmf(np.arange(start, start + len(chances)), trials, p), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize(("trials", "p", "groups"), [(64, 0.25, 8), (200, 0.19, 32), (200, 0.21, 32), (10**5, 0.03, 4)])
def test_largest_count_is_the_exact_sum(trials: int, p: float, groups: int) -> None:
    exact = float((1 - pmf(np.arange(trials + 1), trials, p).cumsum().clip(max=1) ** groups).sum())
    assert expected_max([(trials * p, p)] * groups) == pytest.approx(exact, rel=5e-4)


def test_largest_number_of_hits_by_hand() -> None:
    """Two fair coins against a sure hit: 1/4 of two, else one. No group, no hits."""
    assert expected_max_hits([(0.5, 0.5), (1.0,)]) == pytest.approx(1.25)
    assert expected_max([]) == 0
    many = (0.3,) * 100
    exact = float((1 - pmf(np.arange(101), 100, 0.3).cumsum().clip(max=1) ** 2).sum())
    assert expected_max_hits([many, many]) == pytest.approx(exact, rel=1e-6)


def test_excess_by_normal_is_near_the_sum() -> None:
    counts = np.arange(5050, 20_001)
    exact = float((pmf(counts, 20_000, 0.25) * (counts - 5050)).sum())
    assert expected_excess(5000, 0.25, 5050) == pytest.approx(exact, rel=0.01)
    assert expected_excess(5000, 0.25, 5000) == pytest.approx(math.sqrt(3750 / (2 * math.pi)), rel=1e-6)
    assert expected_excess(0, 0, 5) == 0


# --- the busiest rank -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_experts", "k"), SHAPES)
@pytest.mark.parametrize("routing", KINDS[:3], ids=names)
def test_closed_forms_agree_with_monte_carlo(routing: Routing, num_experts: int, k: int) -> None:
    rng = np.random.default_rng(1)
    tokens, ranks, steps = 64, 8 if num_experts > 8 else 4, 300
    (row,) = routing.by_layer(num_experts, k)
    p = np.array(row)
    held = [np.zeros((num_experts, ranks)) for _ in routing.placements(row, ranks)]
    for matrix, arrangement in zip(held, routing.placements(row, ranks), strict=True):
        for rank, slots in enumerate(arrangement):
            matrix[[e for e, _ in slots], rank] = 1
    distinct, pairs, read = [], [], []
    for _ in range(steps):
        order = rng.random((tokens, num_experts)).argsort(axis=1)
        reached = np.floor(np.cumsum(p[order], axis=1) + rng.random((tokens, 1)) + 1e-9)
        counts = np.bincount(order[np.diff(reached, axis=1, prepend=0) > 0], minlength=num_experts)
        assert counts.sum() == tokens * k
        distinct.append((counts > 0).sum())
        pairs += [(counts @ matrix).max() for matrix in held]
        read += [((counts > 0) @ matrix).max() for matrix in held]
    load = routing.busiest_rank(num_experts, k, tokens, ranks)
    assert routing.expected_distinct(num_experts, k, tokens) == pytest.approx(np.mean(distinct), rel=0.02)
    assert load.pairs == pytest.approx(np.mean(pairs), rel=0.02)
    assert load.distinct == pytest.approx(np.mean(read), rel=0.02)
    assert load.imbalance == pytest.approx(load.pairs * ranks / (tokens * k))


def test_typical_orders_stand_for_all_orders() -> None:
    rng = np.random.default_rng(2)
    for num_experts, k, ranks in ((256, 8, 32), (64, 8, 8), (8, 2, 4)):
        p = np.array(ZIPF.inclusion(num_experts, k))
        random = [p[rng.permutation(num_experts)].reshape(ranks, -1).sum(axis=1).max() for _ in range(2000)]
        ours = ZIPF.busiest_rank(num_experts, k, 10**9, ranks).imbalance
        assert ours == pytest.approx(np.mean(random) * ranks / k, rel=0.03)


@pytest.mark.parametrize("tokens", [1, 8, 256, 4096])
@pytest.mark.parametrize(("num_experts", "k", "ranks"), [(8, 2, 8), (64, 8, 8), (256, 8, 32), (60, 4, 7)])
def test_skew_costs_on_ranks_what_eplb_gives_back(num_experts: int, k: int, ranks: int, tokens: int) -> None:
    uniform = Routing().busiest_rank(num_experts, k, tokens, ranks)
    skewed = Routing(kind="zipf", exponent=1.0).busiest_rank(num_experts, k, tokens, ranks)
    balanced = Routing(kind="zipf", exponent=1.0).busiest_rank(num_experts, k, tokens, ranks, ranks, balanced=True)
    assert 1 <= uniform.imbalance <= skewed.imbalance * 1.06
    assert balanced.imbalance <= skewed.imbalance + 1e-9
    assert skewed.pairs <= tokens * k
    assert skewed.distinct <= math.ceil(num_experts / ranks)
    if tokens >= 256:
        assert skewed.imbalance > 1.5
        assert balanced.imbalance < 0.75 * skewed.imbalance


def test_skew_reaches_fewer_experts_on_one_device() -> None:
    reached = [Routing(kind="zipf", exponent=s).expected_distinct(128, 8, 32) for s in (0, 0.3, 0.6, 1.0, 1.5)]
    assert reached == sorted(reached, reverse=True)
    assert reached[0] == pytest.approx(expected_distinct_experts(128, 8, 32))


def test_eplb_copies_the_hottest_and_packs_the_rest() -> None:
    """Loads 8 5 2 1 on 2 ranks: 8 + 1 against 5 + 2; with two more copies, 4 + 2.5 + 2 against 4 + 2.5 + 1."""
    loads = (8.0, 5.0, 2.0, 1.0)
    assert balance(loads, 2, 0) == (((0, 1), (3, 1)), ((1, 1), (2, 1)))
    copied = balance(loads, 2, 2)
    assert [len(rank) for rank in copied] == [3, 3]
    assert sorted(sum(loads[e] / n for e, n in rank) for rank in copied) == [7.5, 8.5]


@pytest.mark.parametrize("ranks", [0, 9])
def test_ranks_without_experts_are_refused(ranks: int) -> None:
    with pytest.raises(InputError, match="share 8 experts"):
        Routing().busiest_rank(8, 2, 4, ranks)


def test_a_rank_whose_experts_get_nothing() -> None:
    half = Routing(kind="measured", shares=((0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0),))
    load = half.busiest_rank(8, 2, 1000, 2)
    assert (load.pairs, load.distinct, load.imbalance) == pytest.approx((2000, 4, 2))
    assert half.expected_distinct(8, 2, 10**6) == pytest.approx(4)


# --- the parts use the workload's routing ---------------------------------------------------------------------------


def test_the_workloads_routing_sets_what_is_read() -> None:
    moe = Moe(hidden_size=64, num_experts=64, num_experts_per_tok=8, moe_intermediate_size=32)
    seen = Weights(
        name="experts", component="routed_experts", rows=8, cols=8, matrices=64, num_experts_per_tok=8, num_experts=64
    )
    for part in (moe, seen):
        op = next(op for op in part.ops(Workload.decode(128, 32, routing=GITHUB_L7)) if op.kind == "experts")
        assert op.read_share * 64 == pytest.approx(49.6, abs=0.05)
        plain = next(op for op in part.ops(Workload.decode(128, 32)) if op.kind == "experts")
        assert plain.read_share * 64 == expected_distinct_experts(64, 8, 32)
        assert (op.flops, op.params) == (plain.flops, plain.params)


def test_a_prompts_tokens_may_route_alike() -> None:
    moe = Moe(hidden_size=64, num_experts=64, num_experts_per_tok=8, moe_intermediate_size=32)
    work = Workload.prefill(20, routing=Routing(correlation=0.5))
    op = next(op for op in moe.ops(work) if op.kind == "experts")
    assert op.read_share * 64 == pytest.approx(expected_distinct_experts(64, 8, 10.5))  # type: ignore[arg-type]


def test_zero_experts_take_their_share_of_the_tokens() -> None:
    moe = Moe(hidden_size=64, num_experts=12, zero_experts=4, num_experts_per_tok=4, moe_intermediate_size=32)
    op = next(op for op in moe.ops(Workload.decode(1, 5)) if op.kind == "experts")
    assert op.read_share == pytest.approx(1 - (1 - 4 / 16) ** 5)
    skewed = Workload.decode(1, 5, routing=Routing(kind="zipf", exponent=1.0))
    assert next(o for o in moe.ops(skewed) if o.kind == "experts").read_share < op.read_share


# --- routing by name and from files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "routing"),
    [
        ("uniform", Routing()),
        ("Zipf:1.2", Routing(kind="zipf", exponent=1.2)),
        ("dirichlet:0.5", Routing(kind="dirichlet", concentration=0.5)),
        ("zipf:1.2,correlation=0.5", Routing(kind="zipf", exponent=1.2, correlation=0.5)),
        ("uniform,correlation=1", Routing()),
    ],
)
def test_routing_by_name(text: str, routing: Routing) -> None:
    assert load_routing(text) == routing
    assert load_routing(routing.name) == routing


GOOD_FILES: dict[str, tuple[str, str, tuple[tuple[float, ...], ...]]] = {
    "a list": ("a.json", "[1, 3]", ((0.25, 0.75),)),
    "layers": ("a.json", "[[1, 3], [2, 2]]", ((0.25, 0.75), (0.5, 0.5))),
    "dense layers": ("a.json", "[[0, 0], [1, 3]]", ((0.25, 0.75),)),
    "an object": ("a.json", '{"model": "x", "counts": [1, 3]}', ((0.25, 0.75),)),
    "steps": ("a.json", '{"logical_count": [[[1, 0]], [[0, 3]]]}', ((0.25, 0.75),)),
    "a byte order mark": ("a.json", "\ufeff[1, 3]", ((0.25, 0.75),)),
    "lines": ("a.csv", "1\n3\n", ((0.25, 0.75),)),
    "lines with a header": ("a.csv", "count\n1\n3\n", ((0.25, 0.75),)),
    "expert,count": ("a.csv", "expert,count\n1,3\n0,1\n", ((0.25, 0.75),)),
    "sglang": ("a.csv", "layer_id,expert_id,count\n4,1,6\n3,0,1\n3,1,3\n", ((0.25, 0.75), (0.0, 1.0))),
    "twice": ("a.csv", "0,1\n1,1\n1,2\n\n", ((0.25, 0.75),)),
    "another suffix": ("counts", "[1, 3]", ((0.25, 0.75),)),
    "a comma in its name": ("a,b.json", "[1, 3]", ((0.25, 0.75),)),
}


@pytest.mark.parametrize("case", GOOD_FILES)
def test_files_of_counts(case: str, tmp_path: Path) -> None:
    name, text, shares = GOOD_FILES[case]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = load_routing(str(tmp_path / name), 2)
    assert (found.kind, found.shares) == ("measured", shares)
    if "," not in name:
        assert load_routing(f"{tmp_path / name},correlation=0.5").correlation == 0.5


def test_experts_that_a_csv_does_not_name_got_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("layer_id,expert_id,count\n0,1,4\n")
    assert load_routing(str(tmp_path / "a.csv"), 4).shares == ((0.0, 1.0, 0.0, 0.0),)


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "empty"),
    "blank": (" \n", "empty"),
    "binary": (b"\x00\xff\xfe", "not a text file"),
    "half": ("[1, 2", "not JSON"),
    "deep": ("[" * 200_000, "nested too deeply"),
    "four levels": ("[[[[1]]]]", "not a list of counts"),
    "an object": ('{"experts": [1]}', "has none of counts"),
    "a word": ('{"counts": "many"}', "not a list of counts"),
    "nothing": ("[]", "not all of the same experts"),
    "nothing inside": ("[[], []]", "not all of the same experts"),
    "ragged": ("[[1, 2], [1]]", "not all of the same experts"),
    "ragged steps": ("[[[1, 2]], [[1]]]", "its steps differ"),
    "mixed": ("[1, [2]]", "not a list of counts"),
    "negative": ("[1, -2]", "-2 is not a count"),
    "text": ('[1, "x"]', "'x' is not a count"),
    "true": ("[1, true]", "True is not a count"),
    "null": ("[1, null]", "None is not a count"),
    "object inside": ("[1, {}]", "{} is not a count"),
    "NaN": ("[1, NaN]", "nan is not a count"),
    "infinite": ("[1, 1e999]", "inf is not a count"),
    "huge": ("[1, 1" + "0" * 400 + "]", "is not a count"),
    "zeros": ("[0, 0]", "all counts are 0"),
    "three": ("[1, 2, 3]", "counts of 3 experts, and the model has 2"),
    "csv words": ("a,b\nc,d\n", "'c' is not the number"),
    "csv header only": ("layer,expert,count\n", "not all of 1, 2 or 3"),
    "csv ragged": ("0,1\n1\n", "not all of 1, 2 or 3"),
    "csv wide": ("0,1,2,3\n", "not all of 1, 2 or 3"),
    "csv negative": ("0,-1\n", "'-1' is not a count"),
    "csv nan": ("0,nan\n", "'nan' is not a count"),
    "csv expert": ("-1,4\n", "'-1' is not the number"),
    "csv far": ("99999999,4\n", "is not the number"),
    "csv three": ("2,5\n", "counts of 3 experts"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    content, text = BAD_FILES[case]
    path = tmp_path / "counts.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as refused:
        load_routing(str(path), 2)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("zpif:1", "Did you mean 'zipf'?"),
        ("", "unknown routing"),
        ("zipf", "needs its exponent"),
        ("dirichlet:", "needs its concentration"),
        ("zipf:abc", "must be a number"),
        ("zipf:nan", "from 0 to 10"),
        ("zipf:-1", "from 0 to 10"),
        ("dirichlet:0", "from 0.05"),
        ("uniform:1", "unknown routing"),
        ("uniform,correlation=0", "from 1e-06 to 1"),
        ("uniform,corelation=1", "Did you mean 'correlation'?"),
        ("nowhere.json", "no such file"),
        ("/", "cannot be read"),
        ("a\0b/c", "cannot be read"),
    ],
)
def test_what_is_no_routing_is_refused(text: str, part: str) -> None:
    with pytest.raises(InputError) as refused:
        load_routing(text)
    assert part in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_torch_file_is_converted_by_the_line_in_the_message(tmp_path: Path, run: Run) -> None:
    """As SGLang's recorder writes it: steps x layers x experts."""
    path = tmp_path / "recorded.pt"
    torch.save({"rank": 0, "logical_count": torch.tensor([[[0, 0], [1, 0]], [[0, 0], [0, 3]]])}, path)
    with pytest.raises(InputError, match="a torch file") as refused:
        load_routing(str(path), 2)
    code = str(refused.value).split("'")[1]
    converted = run(path, program=("-c", code))
    assert converted.rc == 0, converted.stderr
    (tmp_path / "counts.json").write_text(converted.stdout)
    assert load_routing(str(tmp_path / "counts.json"), 2).shares == ((0.25, 0.75),)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_shows_both_sides_of_skew(quick_run: Run) -> None:
    found = quick_run("routing", "olmoe-1b-7b", "--routing", OLMOE, "--batch-size", "32", "--ep", "8", "--json")
    assert found.rc == 0, found.stderr
    document = found.json
    (reached,), (rank,) = document["distinct"], document["ranks"]
    assert document["command"] == "routing"
    assert len(document["loads"]) == 3
    assert reached["expected"] < reached["uniform"] == pytest.approx(63.1, abs=0.05)
    assert rank["imbalance"] > rank["uniform_imbalance"]
    assert rank["balanced_imbalance"] < rank["imbalance"]
    assert 0 < document["drops"][1]["drop_rate"] < document["drops"][0]["drop_rate"] < 1


@pytest.mark.parametrize("form", ["table", "markdown", "json", "csv"])
def test_every_format(form: str, quick_run: Run) -> None:
    found = quick_run("routing", "qwen3-30b-a3b", "--routing", "zipf:0.7,correlation=0.5", "--format", form)
    assert found.rc == 0
    assert found.stderr.startswith("note: ")
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(found.stdout)))
        assert {row["table"] for row in rows} == {"distinct", "ranks", "drops"}
    elif form != "json":
        assert "█" in found.stdout
        assert "EPLB" in found.stdout


def test_uniform_routing_is_shown_once(quick_run: Run) -> None:
    found = quick_run("routing", "mixtral-8x7b")
    assert "█" not in found.stdout
    assert [line.count("uniform") for line in found.stdout.splitlines() if line.startswith("batch size")] == [2, 1, 1]


def test_the_heat_map_has_a_mark_per_expert_or_a_line_per_layer(quick_run: Run) -> None:
    one = quick_run("routing", "deepseek-v3", "--routing", "zipf:1", "--batch-size", "1").stdout
    assert [len(line.split()[-1]) for line in one.splitlines() if " to " in line] == [64] * 4
    layers = quick_run("routing", "olmoe-1b-7b", "--routing", OLMOE, "--batch-size", "1").stdout
    assert [len(line.split()[1]) for line in layers.splitlines() if "▁" in line] == [64] * 3


@pytest.mark.slow
def test_the_simulation_agrees(quick_run: Run) -> None:
    args = ("routing", "olmoe-1b-7b", "--batch-size", "64", "--ep", "1,8", "--simulate", "--seed", "3", "--json")
    for kind in ("uniform", "zipf:0.8", str(OLMOE)):
        rows = quick_run(*args, "--routing", kind).json["simulated"]
        assert {row["figure"] for row in rows} >= {"distinct experts", "imbalance", "drop rate at 1"}
        assert all(abs(row["relative_error"]) < 0.02 or row["simulated"] < 0.05 for row in rows), rows
    again = quick_run(*args, "--routing", "zipf:0.8")
    assert again.stdout == quick_run(*args, "--routing", "zipf:0.8").stdout
    table = quick_run("routing", "mixtral-8x7b", "--batch-size", "8", "--ep", "4", "--simulate").stdout
    assert "standard error" in table


def test_zero_experts_in_the_command(tmp_path: Path, quick_run: Run) -> None:
    path = tmp_path / "config.json"
    small = Path(__file__).parent / "small_configs" / "longcat_flash.json"
    path.write_text(json.dumps(json.loads(small.read_text())[0]))
    found = quick_run("routing", path, "--batch-size", "4", "--json")
    assert found.rc == 0, found.stderr
    document = found.json
    k, e, z = document["num_experts_per_tok"], document["num_experts"], document["zero_experts"]
    assert z > 0
    assert document["distinct"][0]["uniform_share"] == pytest.approx(1 - (1 - k / (e + z)) ** 4)


BAD_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "dense": (("llama-70b",), "has no experts to route to"),
    "unknown": (("mixtrl",), "unknown model"),
    "routing": (("mixtral-8x7b", "--routing", "zpif:1"), "Did you mean 'zipf'?"),
    "file": (("mixtral-8x7b", "--routing", str(OLMOE)), "counts of 64 experts, and the model has 8"),
    "ranks": (("mixtral-8x7b", "--ep", "16"), "16 ranks share 8 experts"),
    "no ranks": (("mixtral-8x7b", "--ep", "0"), "0 ranks share 8 experts"),
    "list": (("mixtral-8x7b", "--ep", "1,,2"), "--ep is '1,,2'"),
    "fraction": (("mixtral-8x7b", "--batch-size", "1.5"), "whole numbers"),
    "infinite": (("mixtral-8x7b", "--batch-size", "inf"), "whole numbers"),
    "huge": (("mixtral-8x7b", "--batch-size", "1e99"), "more than 20 digits"),
    "many": (("mixtral-8x7b", "--batch-size", ",".join("1" * 100)), "100 values"),
    "capacity": (("mixtral-8x7b", "--capacity-factor", "nan"), "capacity factor is nan"),
    "replicas": (("mixtral-8x7b", "--replicas", "-1"), "number of replicas is -1"),
    "seed": (("mixtral-8x7b", "--seed", "-1"), "seed is -1"),
    "simulated": (("mixtral-8x7b", "--simulate", "--batch-size", "1000000"), "at most 65,536"),
    "format": (("mixtral-8x7b", "--format", "jsn"), "unknown format"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls(case: str, quick_run: Run) -> None:
    args, part = BAD_CALLS[case]
    found = quick_run("routing", *args)
    assert (found.rc, found.stdout) == (2, "")
    assert found.stderr.startswith("error: ")
    assert len(found.stderr.splitlines()) == 1
    assert part in found.stderr


def test_the_library_call_has_the_same_defaults() -> None:
    found = route("mixtral-8x7b")
    assert [row.ep for row in found.ranks[:2]] == [1, 8]
    assert found.inputs["batch_sizes"] == [1, 8, 64, 512]
    assert route("mixtral-8x7b", "uniform", RoutingQuestion(ep=(2,))).ranks[0].imbalance > 1


def test_it_runs_without_numpy_and_torch(run: Run) -> None:
    code = (
        "import sys; sys.argv[1:] = ['routing', 'mixtral-8x7b', '--routing', 'zipf:1', '--json']\n"
        "from sparsecalc.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'torch', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    assert run(program=("-c", code)).stderr == "[]\n"
