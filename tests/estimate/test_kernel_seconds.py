"""Seconds of one kernel and of one collective, worked by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hand_made import PLAIN, device

from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.timing import KernelTime, kernel_time, norm, transfer_time


def kernel(family: str = "gemm", **counts: Any) -> Kernel:
    fields: dict[str, Any] = {"name": "k", "component": "other", "family": family, "dtype": "bf16"}
    return Kernel(**fields | counts)


PRODUCT = {"flops": 1000, "weight_bytes": 100, "activation_bytes": 50}
"""1000 / (0.5 * 1000) = 2 s of products, (100 + 50) / (0.5 * 100) = 3 s of memory, and 2 s for nothing."""


def check(time: KernelTime, seconds: float, **parts: float) -> None:
    assert time.seconds == pytest.approx(seconds)
    assert sum(time.parts.values()) == pytest.approx(seconds)
    wanted = dict.fromkeys(("compute", "weights", "kv_cache", "activations", "overhead"), 0.0) | parts
    assert time.parts == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("first", "second", "power", "result"),
    [
        (3, 4, 1, 7),
        (3, 4, 2, 5),
        (4, 3, 2, 5),
        (9, 16, 0.5, 49),  # (3 + 4) ** 2
        (3, 4, 3, (27 + 64) ** (1 / 3)),
        (1, 4, 100, 4),
        (0, 0, 2, 0),
        (0, 5, 3, 5),
    ],
)
def test_norms(first: float, second: float, power: float, result: float) -> None:
    assert norm(first, second, power) == pytest.approx(result)
    both = norm(np.array([first, 1.0]), np.array([second, 1.0]), power)
    assert both.tolist() == pytest.approx([result, 2 ** (1 / power)])


def test_a_product_adds_what_it_computes_and_moves() -> None:
    time = kernel_time(kernel(**PRODUCT), device())
    check(time, 2 + 3 + 2, compute=2, weights=2, activations=1, overhead=2)
    assert time.spread == 0.1


def test_layers_repeat_a_kernel() -> None:
    check(kernel_time(kernel(**PRODUCT, layers=3), device()), 21, compute=6, weights=6, activations=3, overhead=6)


def test_the_slower_takes_over_as_the_power_says() -> None:
    """4 s of products and 3 s of memory: 5 s, divided as 4 to 3."""
    roof = device({"gemm": PLAIN.but(power=2.0)})
    time = kernel_time(kernel(flops=2000, weight_bytes=100, cache_bytes=50), roof)
    check(time, 5 + 2, compute=5 * 4 / 7, weights=5 * 2 / 7, kv_cache=5 * 1 / 7, overhead=2)


def test_constants_are_those_of_the_operands_form() -> None:
    fast = device({"gemm.fp8": PLAIN.but(overhead_seconds=0.0)})
    check(kernel_time(kernel(form="fp8", dtype="fp8", flops=1000), fast), 1, compute=1)  # 1000 / (0.5 * 2000)
    check(kernel_time(kernel(form="weight-only", flops=1000), fast), 4, compute=2, overhead=2)


def test_a_kernel_without_products_has_no_compute() -> None:
    check(
        kernel_time(kernel("vector", dtype="", flops=1e9, activation_bytes=50), device()), 3, activations=1, overhead=2
    )


@pytest.mark.parametrize(("extent", "slower"), [(4, 3), (8, 2), (0, 9), (0.5, 9)])
def test_few_rows_use_less_of_the_peak(extent: float, slower: float) -> None:
    """Half of `compute` is reached at 8 rows: 1 + 8 / rows times as long, of at least one row."""
    slow = device({"gemm": PLAIN.but(half_length=8.0)})
    check(kernel_time(kernel(flops=1000, extent=extent), slow), 2 * slower + 2, compute=2 * slower, overhead=2)


@pytest.mark.parametrize(("rows", "padding"), [(2, 4), (8, 1), (64, 1), (math.inf, 1)])
def test_query_rows_of_a_cache_head_fill_a_tile(rows: float, padding: float) -> None:
    """The matrix units take 8 rows at once: 2 rows compute 4 times as much as they need."""
    time = kernel_time(kernel("attention_decode", flops=1000, rows_per_cache_head=rows), device())
    check(time, 2 * padding + 2, compute=2 * padding, overhead=2)
    check(kernel_time(kernel("gemm", flops=1000, rows_per_cache_head=rows), device()), 4, compute=2, overhead=2)


def test_experts_compute_their_padding_and_pay_per_expert() -> None:
    """(1000 + 500) / 500 = 3 s; elementwise traffic 40 / (0.8 * 100) = 0.5 s; 3 experts of 0.25 s beside 2 s."""
    loop = device({"experts": PLAIN.but(vector=0.8, expert_seconds=0.25)})
    layer = kernel("experts", flops=1000, padding_flops=500, vector_bytes=40, distinct=3)
    check(kernel_time(layer, loop), 3 + 0.5 + 2.75, compute=3, activations=0.5, overhead=2.75)
    check(kernel_time(layer, loop.but(matrix_unit_rows=1)), 5.25, compute=2, activations=0.5, overhead=2.75)


def test_a_sparse_kernel_is_as_much_faster_as_was_measured_and_launches_as_slowly() -> None:
    time = kernel_time(kernel(**PRODUCT, speedup=2), device())
    check(time, 5 / 2 + 2, compute=1, weights=1, activations=0.5, overhead=2)


def test_what_an_engine_adds_to_its_kernels() -> None:
    """Two launches of 2 * 0.5 + 0.1 s; products at 0.8 of their share, a prompt's attention at 0.8 * 0.5 of it."""
    engine = {"launch_factor": 0.5, "kernel_seconds": 0.1, "compute_factor": 0.8, "attention_factor": 0.5}
    found = device(engine=engine)
    check(kernel_time(kernel(flops=1000, launches=2), found), 2.5 + 2.2, compute=2.5, overhead=2.2)
    prompt = kernel_time(kernel("attention_prefill", flops=1000), found)
    check(prompt, 5 + 1.1, compute=5, overhead=1.1)
    step = kernel_time(kernel("attention_decode", flops=1000), found)
    check(step, 2 + 1.1, compute=2, overhead=1.1)


def test_an_engine_changes_what_weights_and_elementwise_kernels_move() -> None:
    """100 bytes of weights at 0.8 of the bandwidth, as if they were 125; elementwise traffic threefold."""
    found = device(engine={"bandwidth_factor": 0.8, "vector_factor": 3.0})
    check(
        kernel_time(kernel(weight_bytes=100, activation_bytes=50), found), 5.5, weights=2.5, activations=1, overhead=2
    )
    check(kernel_time(kernel("vector", activation_bytes=50), found), 5, activations=3, overhead=2)


def test_nothing_is_faster_than_the_data_sheet() -> None:
    """Shares of 0.5 times 4 end at 1: 1000 / 1000 s of products, 100 / 100 s of weights."""
    found = device(engine={"compute_factor": 4.0, "bandwidth_factor": 4.0})
    check(kernel_time(kernel(flops=1000, weight_bytes=100), found), 4, compute=1, weights=1, overhead=2)


def test_a_benchmark_waits_for_its_kernel_alone() -> None:
    alone = device({"gemm": PLAIN.but(alone_seconds=0.75)})
    check(kernel_time(kernel(**PRODUCT), alone), 7, compute=2, weights=2, activations=1, overhead=2)
    check(kernel_time(kernel(**PRODUCT), alone, alone=True), 7.75, compute=2, weights=2, activations=1, overhead=2.75)


def test_arrays_are_many_kernels() -> None:
    many = kernel_time(kernel(flops=np.array([1000.0, 0.0]), weight_bytes=np.array([100.0, 0.0])), device())
    assert many.seconds.tolist() == [6, 2]
    assert many.parts["compute"].tolist() == [2, 0]


# --- collectives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "devices", "seconds"),
    [
        # waiting 1 + 0.5 (N - 1); moving 2 (N - 1) / N * 80 / (0.5 * 100), half of it all-to-all
        ("all_reduce", 2, 1.5 + 1.6),
        ("all_reduce", 4, 2.5 + 2.4),
        ("all_to_all", 4, 2.5 + 1.2),
        # two nodes of 4: as above in each, and between them 2 / 4 * 1 / 2 of the bytes, or 1 / 2, at 0.5 * 10
        ("all_reduce", 8, 4.5 + 2.4 + 4.0),
        ("all_to_all", 8, 4.5 + 1.2 + 8.0),
        # three nodes for 9 devices: 2 / 4 * 2 / 3 of the bytes
        ("all_reduce", 9, 5.0 + 2.4 + 80 / 3 / 5),
        ("all_reduce", 1, 1.0),
    ],
)
def test_collectives(kind: str, devices: int, seconds: float) -> None:
    one = transfer_time("sum", kind, 1, devices, 80, device())
    assert one.seconds == pytest.approx(seconds)
    three = transfer_time("sum", kind, 3, devices, 80, device())
    assert three.parts == pytest.approx({"network": 3 * seconds})
    assert (three.kernel.family, three.kernel.layers, three.spread) == (kind, 3, 0.2)


def test_devices_that_no_link_joins_talk_over_the_network_alone() -> None:
    """Every device is a node: 2 * 3 / 4 of 80 bytes at 0.5 * 10 bytes/s."""
    apart = device(domain_size=1)
    assert transfer_time("sum", "all_reduce", 1, 4, 80, apart).seconds == pytest.approx(2.5 + 24)


def test_a_collective_of_middle_size_and_one_alone() -> None:
    """Below p = 1 the two are more than their sum: (sqrt 2.5 + sqrt 2.4) ** 2."""
    found = device()
    odd = found.collectives["all_reduce"].but(power=0.5, alone_seconds=1.5)
    found = found.but(collectives={**found.collectives, "all_reduce": odd})
    both = (math.sqrt(2.5) + math.sqrt(2.4)) ** 2
    assert transfer_time("sum", "all_reduce", 1, 4, 80, found).seconds == pytest.approx(both)
    alone = (math.sqrt(4.0) + math.sqrt(2.4)) ** 2
    assert transfer_time("sum", "all_reduce", 1, 4, 80, found, alone=True).seconds == pytest.approx(alone)
