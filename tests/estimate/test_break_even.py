"""Closed forms of where a mixture of experts and a dense model change places, worked by hand."""

from math import log

import pytest
from hand_made import BF16, DENSE, SPARSE, mlp, model

from sparsecalc.core.errors import InputError
from sparsecalc.core.routing import expected_distinct_experts
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.break_even import ClosedForms, closed_forms, ridge_tokens, t_hi, t_lo
from sparsecalc.estimate.kernel import Setting
from sparsecalc.estimate.placement import Placement

WORK = Workload.decode(1)
SETTING = Setting(BF16, Placement(), {"bf16": 1000.0}, "h100-sxm")


def beside(intermediate_size: int) -> ClosedForms:
    """SPARSE beside a dense model with an MLP of this width, on 1,000 FLOP/s and 100 bytes/s."""
    dense = model(mlp(intermediate_size))
    return closed_forms(("moe", SPARSE.ops(WORK), BF16), ("dense", dense.ops(WORK), SETTING), 100.0)


@pytest.mark.parametrize(("experts", "chosen", "tokens"), [(8, 2, 4), (64, 8, 10), (4, 1, 1)])
def test_t_lo_is_the_inverse_of_distinct_experts(experts: int, chosen: int, tokens: int) -> None:
    """8 experts, 2 per token: 4 tokens reach 8 * (1 - 0.75^4) = 5.46875."""
    distinct = expected_distinct_experts(experts, chosen, tokens)
    assert t_lo(experts, chosen, distinct) == pytest.approx(tokens)
    assert t_lo(8, 2, 8 * (1 - 0.75**4)) == pytest.approx(4)


@pytest.mark.parametrize(("experts", "chosen", "distinct"), [(8, 2, 8), (8, 2, 9), (8, 2, 0), (8, 2, -1), (8, 8, 4)])
def test_no_number_of_tokens_reaches_them(experts: float, chosen: float, distinct: float) -> None:
    assert t_lo(experts, chosen, distinct) is None


def test_ridge_and_t_hi() -> None:
    """2 bytes at 100 bytes/s take 0.02 s, 2 FLOPs at 1,000 FLOP/s 0.002 s: 10 tokens; 47 B to 13 B: 10 * 47 / 13."""
    assert ridge_tokens(1000, 100, 2) == 10
    assert ridge_tokens(1000, 100, 0.5) == 2.5
    assert t_hi(10, 47e9, 13e9) == pytest.approx(470 / 13)


def test_a_dense_model_that_loses_at_small_batches() -> None:
    """The MLP 12 wide: dense weights 2 * (208 + 288) + 88 = 1080 elements.

    The mixture: 2 * 240 + 88 = 568 beside its experts, of which one takes 72 in each of 2 layers: D* = 512 / 144.
    """
    found = beside(12)
    assert found.distinct_experts == pytest.approx(512 / 144)
    assert found.t_lo == pytest.approx(log(1 - 512 / 144 / 4) / log(0.5))
    assert found.reads_more == "from t_lo"
    assert found.ridge_tokens == 10
    assert found.moe_compute_tokens == 10 * 4 / 2
    assert found.t_hi == pytest.approx(10 * (568 + 576) / 1080)
    assert (found.q, found.s, found.qs) == pytest.approx((1160 / 936, 936 / 1224, 1160 / 1224))
    assert (found.moe, found.dense) == ("moe", "dense")


def test_a_large_dense_model_always_reads_more() -> None:
    """The MLP 20 wide: 2 * (208 + 480) + 88 = 1464 elements, more than all of the mixture's 1144: D* is above 4."""
    found = beside(20)
    assert found.distinct_experts == pytest.approx((1464 - 568) / 144)
    assert (found.reads_more, found.t_lo) == ("never", None)


def test_a_small_dense_model_never_reads_more() -> None:
    """The MLP 3 wide: 648 elements, less than the mixture reads for its first token."""
    found = beside(3)
    assert found.distinct_experts == pytest.approx((648 - 568) / 144)
    assert (found.reads_more, found.t_lo) == ("always", None)


def test_without_experts_there_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="moe has no experts"):
        closed_forms(("moe", DENSE.ops(WORK), BF16), ("dense", DENSE.ops(WORK), SETTING), 100.0)
