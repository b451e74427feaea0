"""Peaks of a device without a data sheet: the best that benchmarks reached on it."""

from typing import Any

from sparsecalc.device.time_constants import DeviceModel

Row = dict[str, Any]
"""A benchmark's row: `op`, shapes, `dtype`, `seconds`."""
COLLECTIVES = ("all_reduce", "all_to_all")
_FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def dtype_of(row: Row) -> str:
    """The number format of a row; 16 bits where it names none."""
    name: str = row.get("dtype", "bf16")
    return _FORMATS.get(name, name)


def with_measured_peaks(prior: DeviceModel, rows: list[Row]) -> DeviceModel:
    """`prior` with the highest rates of the rows.

    products     2 M N K / seconds, by format
    memory       2 bytes / seconds of a copy
    links        bytes (N - 1) / N / seconds of a collective among N ranks
    """
    peaks: dict[str, float] = dict(prior.peak_flops_per_second)
    for row in rows:
        if row["op"] == "gemm":
            rate = 2.0 * row["m"] * row["n"] * row["k"] / row["seconds"]
            peaks[dtype_of(row)] = max(rate, peaks.get(dtype_of(row), 0.0))
    copies = [2.0 * row["bytes"] / row["seconds"] for row in rows if row["op"] == "copy"]
    together = [row for row in rows if row["op"] in COLLECTIVES]
    links = [row["bytes"] * (row["ranks"] - 1) / row["ranks"] / row["seconds"] for row in together if row["ranks"] > 1]
    return prior.but(
        peak_flops_per_second=peaks,
        memory_bytes_per_second=max(copies, default=prior.memory_bytes_per_second),
        link_bytes_per_second=max(links, default=prior.link_bytes_per_second),
        domain_size=max([prior.domain_size, *(row["ranks"] for row in together)]),
    )
