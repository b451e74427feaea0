"""Looking for a place: the largest number that fits, and where a function changes sign."""

from collections.abc import Callable

import pytest

from sparsecalc.core.largest import largest_that_fits, largest_within
from sparsecalc.core.sign_changes import middle_of_integers, middle_within, sign_changes

LIMITS = (1, 2, 3, 7, 8, 9, 50)


class Counted:
    """A function that keeps the places it was asked for."""

    def __init__(self, function: Callable[[float], float]) -> None:
        self.function, self.looks = function, list[float]()

    def __call__(self, at: float) -> float:
        self.looks.append(at)
        return self.function(at)


# --- core/largest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS)
def test_largest_that_fits(limit: int) -> None:
    for last in range(60):
        assert largest_that_fits(limit, lambda n: n <= last) == min(limit, last)  # noqa: B023


def test_largest_that_fits_doubles_and_halves() -> None:
    fits = Counted(lambda n: n <= 700_000)
    assert largest_that_fits(10**9, fits) == 700_000  # type: ignore[arg-type]
    assert len(fits.looks) == 1 + 20 + 19  # 1; 2, 4, ..., 2^20 is too large; 2^19 numbers lie between


PIECES: dict[str, Callable[[int], int]] = {
    "straight": lambda n: 3 * n - 40,
    "one step at a time": lambda n: n - 17,
    "steep": lambda n: 10**9 * n - 23 * 10**9 - 1,
    "bent upwards": lambda n: n - 30 + 1000 * max(0, n - 12),
    "bent downwards": lambda n: min(100 * n, 1200 + n) - 1220,
    "flat, then steep": lambda n: -5 if n < 20 else 10**6 * (n - 20) - 5,
    "rounded up": lambda n: -(-n // 7) * 7 - 30,
    "a jump": lambda n: -1 if n <= 33 else 10**15,
    "nothing fits": lambda n: n,
    "all fits": lambda n: n - 1000,
    "zero still fits": lambda n: n - 1,
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", PIECES)
def test_largest_within_is_what_trying_all_finds(name: str, limit: int) -> None:
    excess = PIECES[name]
    largest = max((n for n in range(1, limit + 1) if excess(n) <= 0), default=0)
    assert {largest_within(limit, excess, start) for start in (1, 2, 6, 25, 50, 400)} == {largest}


def test_largest_within_never_looks_beyond_the_limit() -> None:
    excess = Counted(lambda n: n - 1000)
    assert largest_within(50, excess, 400) == 50  # type: ignore[arg-type]
    assert excess.looks == [50]


@pytest.mark.parametrize("start", [1, 1000, 10**6])
def test_largest_within_needs_four_looks_on_a_straight_line(start: int) -> None:
    excess = Counted(lambda n: 3 * n - 1_000_000)
    assert largest_within(10**6, excess, start) == 333_333  # type: ignore[arg-type]
    assert len(excess.looks) <= 4


def test_largest_within_halves_the_gap_where_lines_do_not_help() -> None:
    excess = Counted(lambda n: -1 if n <= 33_333 else 10**15)
    assert largest_within(10**6, excess, 1) == 33_333  # type: ignore[arg-type]
    assert len(excess.looks) <= 2 + 4 * 20  # every fourth look halves 2^20


# --- core/sign_changes ----------------------------------------------------------------------------------------------

INTEGERS = middle_of_integers


@pytest.mark.parametrize(
    ("low", "high", "middle"), [(1, 100, 10), (4, 9, 6), (0, 8, 2), (0, 2, 1), (5, 7, 6), (5, 6, None), (5, 5, None)]
)
def test_middle_of_integers_is_the_geometric_mean(low: int, high: int, middle: int | None) -> None:
    assert middle_of_integers(low, high) == middle


def test_middle_within_a_resolution() -> None:
    assert middle_within(0.5)(1, 2) == 1.5
    assert middle_within(0.5)(1, 1.5) is None


@pytest.mark.parametrize(
    ("value", "grid", "changes"),
    [
        (lambda x: x - 2.5, [0, 10], [(2, 3)]),
        (lambda x: 2.5 - x, [0, 10], [(2, 3)]),
        (lambda x: (x - 2.5) * (x - 7.5), [0, 5, 10], [(2, 3), (7, 8)]),
        (lambda x: x - 11, [0, 10], []),
        (lambda x: 0.5, [0, 5, 10], []),
        (lambda x: x - 5, [10, 0, 10, 5], [(4, 5)]),  # zero is of neither side: the pair ends on it
        (lambda x: (x - 5) ** 2, [0, 5, 10], []),  # touches zero, does not cross it
    ],
)
def test_sign_changes_in_the_grid(
    value: Callable[[float], float], grid: list[float], changes: list[tuple[float, float]]
) -> None:
    assert sign_changes(value, grid, INTEGERS) == changes


@pytest.mark.parametrize("scale", [1, -1, 1e-3])
@pytest.mark.parametrize("centre", [48.5, 50.5])
def test_sign_changes_sees_a_dip_inside_one_cell(centre: float, scale: float) -> None:
    # crosses zero 2 below and 2 above the centre, between 40 and 60, one of which is the lowest point of the grid
    found = sign_changes(lambda x: scale * ((x - centre) ** 2 - 4), [1, 40, 60, 100], INTEGERS)
    assert found == [(centre - 2.5, centre - 1.5), (centre + 1.5, centre + 2.5)]


def test_sign_changes_gives_up_on_a_dip_that_stays_above_zero() -> None:
    value = Counted(lambda x: (x - 51) ** 2 + 1)
    assert sign_changes(value, [1, 40, 60, 100], INTEGERS) == []
    assert {50, 51, 52} <= set(value.looks)


def test_sign_changes_does_not_search_a_flat_curve() -> None:
    value = Counted(lambda x: 1)
    sign_changes(value, [0, 50, 100], INTEGERS)
    assert value.looks == [0, 50, 100]


def test_sign_changes_between_real_numbers() -> None:
    ((low, high),) = sign_changes(lambda x: x * x - 2, [0, 1, 2], middle_within(1e-6))
    assert low < 2**0.5 < high
    assert high - low <= 1e-6
