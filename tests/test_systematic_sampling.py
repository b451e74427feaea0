"""Experts drawn at random with given probabilities: as many as they must be, none twice, as often as they should."""

from typing import Any

import numpy as np
import pytest

from sparsecalc.core.systematic_sampling import sampled_experts


class FixedNumbers:
    """Answers with given numbers instead of random ones: keys of the order, then u."""

    def __init__(self, *answers: list[list[float]]) -> None:
        self.answers = list(answers)

    def random(self, shape: tuple[int, int]) -> Any:
        answer = np.array(self.answers.pop(0))
        assert answer.shape == shape
        return answer


@pytest.mark.parametrize(("u", "selected"), [(0.05, [0, 1]), (0.3, [2, 1]), (0.9, [2, 0])])
def test_points_fall_on_intervals(u: float, selected: list[int]) -> None:
    """Probabilities 0.6, 0.7, 0.7 in the order 2, 0, 1: intervals to 0.7, 1.3 and 2.

    A point falls where end + u passes a whole number: u = 0.05: 0.75 | 1.35 | 2.05, in the second and the third;
    u = 0.3: 1 | 1.6 | 2.3, in the first and the third; u = 0.9: 1.6 | 2.2 | 2.9, in the first and the second.
    """
    numbers: Any = FixedNumbers([[0.5, 0.9, 0.1]], [[u]])
    assert sampled_experts((0.6, 0.7, 0.7), 1, numbers).tolist() == selected


def test_every_token_selects_k_and_none_twice() -> None:
    inclusion = (1.0, 0.9, 0.5, 0.3, 0.2, 0.1)
    rows = sampled_experts(inclusion, 20_000, np.random.default_rng(0)).reshape(20_000, 3)
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()
    assert np.bincount(rows.ravel()) / 20_000 == pytest.approx(inclusion, abs=0.015)  # 4 standard errors of 0.5


def test_a_sum_that_is_not_whole_is_met_on_average() -> None:
    """2.4 experts of 4 by 1000 tokens: 2 or 3 each, 2400 in all but for 4 standard deviations of a share of 0.4."""
    selected = sampled_experts((0.6,) * 4, 1000, np.random.default_rng(0))
    assert len(selected) == pytest.approx(2400, abs=4 * (1000 * 0.4 * 0.6) ** 0.5)
