"""The laws' formulas as their papers write them: each size that is found has the loss that it should have."""

from math import log10

import pytest

from sparsecalc.estimate.quality_laws import (
    LAWS,
    Sparse,
    abnar,
    clark,
    geometric_mean,
    joint,
    joint_loss,
    krajewski,
    krajewski_loss,
    law_data,
    leverage,
    saturating,
)

MODEL = Sparse(
    total_params=4e9,
    active_params=1e9,
    num_experts=32,
    num_experts_per_tok=4,
    granularity=8,
    training_tokens=1e12,
    embedding_params=0.5e9,
)
DENSE = MODEL.but(total_params=1e9, num_experts=4, embedding_params=0, granularity=1)
"""As many experts as a token uses."""


def coefficients(law: str) -> dict[str, float]:
    found: dict[str, float] = law_data()["laws"][law]["coefficients"]
    return found


def test_what_the_laws_look_at() -> None:
    assert MODEL.expansion == 8
    assert MODEL.training_flops == 6e21
    assert DENSE.expansion == 1


@pytest.mark.parametrize(("value", "result"), [(0, 2), (4, 8 / 3), (1e12, 4)])
def test_saturation(value: float, result: float) -> None:
    """From 2 to 4: 1 / (1/2 - 1/4) = 4; at 4, 1 / (1/8 + 1/4)."""
    assert saturating(value, 2, 4) == pytest.approx(result)


@pytest.mark.parametrize(("exponent", "size"), [(0.5, 2e9), (0, 1e9), (1, 4e9), (0.25, 2**0.5 * 1e9)])
def test_a_geometric_mean(exponent: float, size: float) -> None:
    assert geometric_mean(MODEL, exponent) == pytest.approx(size)


@pytest.mark.parametrize("routing", ["S-BASE", "RL-R", "HASH"])
def test_clarks_size_has_the_mixtures_loss(routing: str) -> None:
    """log10 L = a log10 N + b log10 e + c log10 N log10 e + d, with e of one expert for the dense model."""
    known = law_data()["laws"]["clark_2022"]["coefficients"][routing]

    def loss(params: float, expansion: float) -> float:
        e, n = log10(saturating(expansion - 1, known["E_start"], known["E_max"])), log10(params)
        return float(known["a"] * n + known["b"] * e + known["c"] * n * e + known["d"])

    assert loss(clark(MODEL, routing), 1) == pytest.approx(loss(1e9, 8))
    assert clark(DENSE, routing) == pytest.approx(1e9)


def test_krajewskis_size_has_the_mixtures_loss() -> None:
    """Of 3.5 B parameters without embedding, at the same tokens."""
    wanted = krajewski_loss(3.5e9, 1e12, 8, "moe")
    assert krajewski_loss(krajewski(MODEL), 1e12, 1, "dense") == pytest.approx(wanted)
    known = law_data()["laws"]["krajewski_2024"]["coefficients"]["moe"]
    of_size = (known["g"] / 8 ** known["gamma"] + known["a"]) * 3.5e9 ** -known["alpha"]
    assert wanted == pytest.approx(known["c"] + of_size + known["b"] * 1e12 ** -known["beta"])


def test_the_joint_size_has_the_mixtures_loss() -> None:
    assert joint_loss(joint(MODEL), 1e12, 1) == pytest.approx(joint_loss(1e9, 1e12, 8))
    assert joint(DENSE) == pytest.approx(1e9)


def test_abnars_size_has_the_mixtures_loss() -> None:
    """a / N^alpha + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma), S = 7/8 of 4 B, 0 for the dense one."""
    known = coefficients("abnar_2025")

    def loss(params: float, kept: float) -> float:
        of_both = known["d"] / (kept ** known["delta"] * params ** known["gamma"])
        return known["a"] / params ** known["alpha"] + known["c"] / kept ** known["lambda"] + of_both

    assert loss(abnar(MODEL), 1) == pytest.approx(loss(4e9, 1 / 8))


def test_leverage_stops_at_the_largest_compute_that_was_fitted() -> None:
    most = coefficients("efficiency_leverage_2025")["C_max"]
    large = MODEL.but(training_tokens=10 * most / 6e9)
    assert large.training_flops == pytest.approx(10 * most)
    assert leverage(large) == pytest.approx(leverage(MODEL.but(training_tokens=most / 6e9)))
    assert leverage(large) < leverage(large, clamped=False)


def test_every_law_has_a_formula_and_gives_a_range() -> None:
    assert set(LAWS) == set(law_data()["laws"])
    for law in LAWS.values():
        low, high = law(MODEL)
        assert 0 < low <= high
