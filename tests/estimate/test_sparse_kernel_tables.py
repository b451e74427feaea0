"""How a speed-up is read from the tables of measured sparse kernels: between their points, beyond them, without one."""

from math import sqrt

import pytest

from sparsecalc.data_files import read_data
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.sparse_speedup import speedup
from sparsecalc.read.number_formats import number_format

TABLES = read_data("sparse_kernels/semi_structured.json")
A100 = next(table for table in TABLES["tables"] if (table["gpu"], table["dtype"]) == ("a100-80gb-pcie", "bf16"))
POINTS = {int(tokens): value for tokens, value in A100["median_speedup"].items()}


@pytest.mark.parametrize("tokens", POINTS)
def test_a_point_of_the_table(tokens: int) -> None:
    found = speedup("2:4", "a100-80gb-pcie", "bf16", tokens)
    assert (found.value, found.measured) == (POINTS[tokens], True)


def test_between_two_points_the_logarithm_of_the_tokens_counts() -> None:
    """Half-way between 64 and 128 tokens is their geometric mean."""
    found = speedup("2:4", "a100-80gb-pcie", "bf16", 64 * sqrt(2))
    assert found.value == pytest.approx((POINTS[64] + POINTS[128]) / 2)
    assert found.measured


@pytest.mark.parametrize(("tokens", "end"), [(1, min(POINTS)), (10**7, max(POINTS))])
def test_beyond_the_ends_nothing_is_measured(tokens: int, end: int) -> None:
    found = speedup("2:4", "a100-80gb-pcie", "bf16", tokens)
    assert (found.value, found.measured) == (POINTS[end], False)


def test_6_of_8_is_2_of_4_over_a_longer_row() -> None:
    """Windows of 2:4 over an inner side 2 * 6 / 8 = 1.5 times as long."""
    found = speedup("6:8", "a100-80gb-pcie", "bf16", 64)
    assert (found.value, found.measured) == (pytest.approx(POINTS[64] / 1.5), False)


def test_a_small_matrix_gains_nothing() -> None:
    least = TABLES["fallback"]["no_gain_below_elements"]
    assert speedup("2:4", "a100-80gb-pcie", "bf16", 64, elements=least - 1).value == 1.0
    assert speedup("2:4", "a100-80gb-pcie", "bf16", 64, elements=least).value == POINTS[64]


def test_without_a_table_a_bound_from_bytes_and_peaks() -> None:
    """MI300X, FP8: no table of its architecture. Below the ridge 0.75 of the ratio of bytes, above 0.8 of the peaks'.

    A 1024 x 1024 matrix in fp8 has one byte an element; 2:4 keeps half of them and 2 bits each to tell which.
    """
    gpu, fp8 = load_accelerator("mi300x"), number_format("fp8")
    scales = fp8.scale_bytes(1024, 1024)
    ratio = (2**20 + scales) / (2**19 + 2**19 * 2 / 8 + scales)
    few, many = (speedup("2:4", "mi300x", "fp8", tokens) for tokens in (1, 10**5))
    assert few.value == pytest.approx(0.75 * ratio)
    assert many.value == pytest.approx(0.8 * (gpu.sparse_speedup("fp8") or 0))
    assert not few.measured
    ridge = (gpu.peak_flops_per_second["fp8"] or 0) / (2 * gpu.memory_bytes_per_second)
    assert speedup("2:4", "mi300x", "fp8", ridge * 0.99).value == few.value
    assert speedup("2:4", "mi300x", "fp8", ridge * 1.01).value == many.value


UNSTRUCTURED = read_data("sparse_kernels/unstructured.json")
FLASH = next(table for table in UNSTRUCTURED["tables"] if table["gpu"] == "a100-80gb-sxm")


def test_between_two_sparsities_the_speedup_is_linear() -> None:
    """Flash-LLM at 8 tokens: half-way between 0.7 and 0.8; a third of the way from where it is 1 to 0.7."""
    seven, eight = (FLASH["speedup"][share]["8"] for share in ("0.7", "0.8"))
    found = speedup("unstructured=0.75", "a100-80gb-sxm", "fp16", 8)
    assert (found.value, found.measured) == (pytest.approx((seven + eight) / 2), False)
    assert speedup("unstructured=0.7", "a100-80gb-sxm", "fp16", 8).measured
    assert speedup("unstructured=0.6", "a100-80gb-sxm", "fp16", 8).value == pytest.approx(1 + (seven - 1) * 0.05 / 0.15)


def test_many_tokens_are_bound_by_compute() -> None:
    """From the ridge on the figure that was measured there."""
    gpu = load_accelerator("a100-80gb-sxm")
    ridge = (gpu.peak_flops_per_second["fp16"] or 0) * 2 / (2 * gpu.memory_bytes_per_second)
    wanted = UNSTRUCTURED["compute_bound"]["speedup"]
    assert speedup("unstructured=0.7", "a100-80gb-sxm", "fp16", ridge).value == pytest.approx(wanted)
    between = speedup("unstructured=0.7", "a100-80gb-sxm", "fp16", sqrt(32 * ridge))
    assert between.value == pytest.approx((FLASH["speedup"]["0.7"]["32"] + wanted) / 2)
