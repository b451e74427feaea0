"""Expected largest counts and excesses, on cases small enough to be enumerated by hand."""

from math import comb, pi, sqrt

import pytest

from sparsecalc.core.expected_max import binomial, expected_excess, expected_max, expected_max_hits, hits

TWO_COINS = (1.0, 0.5)
"""A count of two fair coins: mean 1, p 1/2, so 0, 1, 2 with probabilities 1/4, 1/2, 1/4."""
EXACT = 1e-12


def pmf(trials: int, p: float) -> list[float]:
    return [comb(trials, n) * p**n * (1 - p) ** (trials - n) for n in range(trials + 1)]


def excess_of_the_larger(trials: int) -> float:
    """E[max] - mean of two counts of fair coins: half of E|X - Y|, and X - Y + trials is one of 2 * trials coins.

    E|B(2n, 1/2) - n| = n C(2n, n) / 4^n.
    """
    return trials * comb(2 * trials, trials) / 4**trials / 2


# --- one count ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "p", "start", "chances"),
    [
        (1.5, 1 / 2, 0, [1 / 8, 3 / 8, 3 / 8, 1 / 8]),
        (1, 1 / 4, 0, [81 / 256, 108 / 256, 54 / 256, 12 / 256, 1 / 256]),
        (3 / 2, 3 / 4, 0, [1 / 16, 6 / 16, 9 / 16]),
        (3, 1.0, 3, [1.0]),
    ],
)
def test_binomial_of_a_few_trials(mean: float, p: float, start: int, chances: list[float]) -> None:
    assert binomial(mean, p) == (start, pytest.approx(chances, rel=EXACT))


def test_binomial_of_a_fraction_of_trials() -> None:
    # 2.5 trials: C(2.5, n) = 1, 2.5, 2.5 * 1.5 / 2, 2.5 * 1.5 * 0.5 / 6, scaled to a sum of 1
    ways = [1, 2.5, 1.875, 0.3125]
    assert binomial(1.25, 0.5) == (0, pytest.approx([way / sum(ways) for way in ways], rel=EXACT))


def test_binomial_leaves_out_what_is_far_from_the_mean() -> None:
    # sd = sqrt(10,000 / 4) = 50; 8 sd + 8 = 408 to each side of the most likely count, 5000
    start, chances = binomial(5000, 0.5)
    assert (start, len(chances)) == (5000 - 408, 2 * 408 + 1)
    assert sum(n * chance for n, chance in enumerate(chances, start)) == pytest.approx(5000, rel=EXACT)


@pytest.mark.parametrize(
    ("probabilities", "chances"),
    [
        ([], [1]),
        ([0.5, 0.25], [0.5 * 0.75, 0.5 * 0.75 + 0.5 * 0.25, 0.5 * 0.25]),
        ([1, 0.5], [0, 0.5, 0.5]),
        ([0, 0], [1]),
    ],
)
def test_number_of_hits(probabilities: list[float], chances: list[float]) -> None:
    assert hits(probabilities) == pytest.approx(chances, rel=EXACT)


# --- the largest of several -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "largest"),
    [
        ([(0.5,), (0.5,)], 1 - 1 / 4),
        ([(0.5,), (0.25,), (0.25,)], 1 - 1 / 2 * 3 / 4 * 3 / 4),
        ([(0.5, 0.5), (1.0,)], 1 / 4 * 1 + 1 / 2 * 1 + 1 / 4 * 2),
        ([(0.5, 0.5), (0.5, 0.5)], (1 - (1 / 4) ** 2) + (1 - (3 / 4) ** 2)),
        ([(0.0,)], 0),
        ([(0.5,) * 40] * 2, 20 + excess_of_the_larger(40)),
        ([(0.5,) * 41] * 2, 20.5 + excess_of_the_larger(41)),
    ],
)
def test_expected_max_hits(groups: list[tuple[float, ...]], largest: float) -> None:
    assert expected_max_hits(groups) == pytest.approx(largest, rel=EXACT)


@pytest.mark.parametrize(
    ("counts", "largest"),
    [
        ([], 0),
        ([(0, 0.5)], 0),
        ([TWO_COINS], 1),
        ([TWO_COINS, (0, 0.5)], 1),
        # P(max <= 0) = (1/4)^2, P(max <= 1) = (3/4)^2
        ([TWO_COINS, TWO_COINS], (1 - 1 / 16) + (1 - 9 / 16)),
        ([TWO_COINS] * 3, (1 - 1 / 64) + (1 - 27 / 64)),
        # B(2, 3/4) is 1, 6, 9 of 16, B(2, 1/4) is 9, 6, 1 of 16
        ([(1.5, 0.75), (0.5, 0.25)], (1 - 1 * 9 / 256) + (1 - 7 * 15 / 256)),
        ([(3, 1.0), TWO_COINS], 3),
    ],
)
def test_expected_max_of_small_counts(counts: list[tuple[float, float]], largest: float) -> None:
    assert expected_max(counts) == pytest.approx(largest, rel=EXACT)


@pytest.mark.parametrize(("trials", "share"), [(80, EXACT), (82, 1e-4), (400, 1e-4), (10_000, 1e-6)])
def test_expected_max_of_two_counts_of_coins(trials: int, share: float) -> None:
    # exact up to a mean of 40, beyond it over the normal curve
    assert expected_max([(trials / 2, 0.5)] * 2) == pytest.approx(trials / 2 + excess_of_the_larger(trials), rel=share)


def test_expected_max_minds_the_skew() -> None:
    # 500 trials of 1/10, 64 times: E[max] = sum over m of 1 - P(N <= m)^64
    reached = largest = 0.0
    for chance in pmf(500, 0.1):
        reached += chance
        largest += 1 - min(reached, 1) ** 64
    assert expected_max([(50, 0.1)] * 64) == pytest.approx(largest, rel=1e-4)


# --- what exceeds a limit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "p", "limit", "excess"),
    [
        (*TWO_COINS, 1, 1 / 4 * (2 - 1)),
        (*TWO_COINS, 0.5, 1 / 2 * (1 - 0.5) + 1 / 4 * (2 - 0.5)),
        (*TWO_COINS, 0, 1),
        (*TWO_COINS, 2, 0),
        (3, 1.0, 2, 1),
        (0, 0.5, 0, 0),
    ],
)
def test_expected_excess(mean: float, p: float, limit: float, excess: float) -> None:
    assert expected_excess(mean, p, limit) == pytest.approx(excess, rel=EXACT)


@pytest.mark.parametrize(
    ("z", "of_a_deviation"),
    # phi(0) = 1 / sqrt(2 pi); phi(1) = 0.2419707, 1 - Phi(1) = 0.1586553
    [(0, 1 / sqrt(2 * pi)), (1, 0.2419707 - 0.1586553), (-1, 0.2419707 + 1 - 0.1586553)],
)
def test_expected_excess_of_a_large_count(z: float, of_a_deviation: float) -> None:
    deviation = sqrt(10_000 * (1 - 0.5))
    assert expected_excess(10_000, 0.5, 10_000 + z * deviation) == pytest.approx(of_a_deviation * deviation, rel=1e-6)
