"""Seconds of a kernel: t = t0 + ||(flops / (ec P), bytes / (em BW))||_p, and what they are spent on.

Constants per class of kernels come from a `DeviceModel`; they are data. All counts may be numpy arrays.
"""

from dataclasses import dataclass
from typing import Literal

from sparsecalc.core.arrays import Number, most
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.kernel import Kernel, Scope

COMPUTE_FAMILIES = ("gemm", "experts", "attention_prefill")
"""Kernels whose share of the peak depends on the engine."""

Bound = Literal["weights", "kv_cache", "activations", "compute", "overhead", "network", "host"]


@dataclass(slots=True)
class KernelTime:
    """Seconds of one kernel in all its layers, and how they divide."""

    kernel: Kernel
    seconds: Number
    spread: float
    """Standard deviation of ln(predicted / measured)."""
    parts: dict[Bound, Number]
    """Seconds by what they are spent on; they add up to `seconds`."""

    def repeated(self, count: int) -> "KernelTime":
        """The same in so many steps."""
        if count == 1:
            return self
        parts = {bound: count * seconds for bound, seconds in self.parts.items()}
        return KernelTime(self.kernel, count * self.seconds, self.spread, parts)


TINY = 1e-300
"""Keeps a quotient of two zeros at zero."""


def norm(first: Number, second: Number, power: float) -> Number:
    """||(first, second)||_p: the sum at p = 1, the larger one for large p, more than the sum below 1."""
    if power == 1:
        return first + second
    larger = most(first, second)
    smaller = first + second - larger
    ratio = smaller / most(larger, TINY)
    if power == 2:
        return larger * (1 + ratio * ratio) ** 0.5
    return larger * (1 + ratio**power) ** (1 / power)


def kernel_time(kernel: Kernel, device: DeviceModel, *, alone: bool = False) -> KernelTime:
    """Seconds of a kernel in all its layers.

    small kernels    compute seconds * (1 + half_length / extent): rows of a product, context of a prompt's attention
    decode attention query rows of one cache head are padded to matrix_unit_rows
    experts          + elementwise traffic / (vector BW) + expert_seconds of every expert that is read
    alone            as a benchmark times it: + alone_seconds

    Of the parts, compute and memory share the work by their own seconds, what is read by its bytes.
    """
    constants = device.of(kernel.family, kernel.form)
    engine = device.engine
    bandwidth, layers = device.memory_bytes_per_second, kernel.layers
    factor = engine.compute_factor if kernel.family in COMPUTE_FAMILIES else 1.0
    if kernel.family == "attention_prefill":
        factor = factor * engine.attention_factor
    read_factor, peak_factor = engine.formats.get(kernel.stored, (1.0, 1.0))
    flops = kernel.flops + (kernel.padding_flops if device.matrix_unit_rows > 1 else 0)
    reached = min(
        1.0, factor * peak_factor * constants.compute
    )  # nothing is faster than the data sheet, here and below
    compute = flops / (reached * device.peak(kernel.dtype)) if kernel.dtype else 0.0
    if kernel.family == "attention_decode":
        rows = kernel.tile_rows or device.matrix_unit_rows
        compute = compute * most(1.0, rows / kernel.rows_per_cache_head)
    if constants.half_length:
        compute = compute * (1 + constants.half_length / most(kernel.extent, 1))
    bandwidth_share = min(1.0, constants.bandwidth)
    weights = kernel.weight_bytes / min(engine.bandwidth_factor * read_factor, 1 / bandwidth_share)
    activations = kernel.activation_bytes * (engine.vector_factor if kernel.family == "vector" else 1.0)
    rate = bandwidth_share * bandwidth
    memory = (weights + kernel.cache_bytes + activations) / rate
    work = norm(compute, memory, constants.power) / kernel.speedup
    vector = kernel.vector_bytes / (constants.vector * bandwidth)
    overhead = kernel.launches * (constants.overhead_seconds * engine.launch_factor + engine.kernel_seconds)
    overhead = overhead + kernel.distinct * constants.expert_seconds
    if alone:
        overhead = overhead + constants.alone_seconds
    share = work * layers / most(compute + memory, TINY)
    per_byte = share / rate
    parts: dict[Bound, Number] = {
        "compute": share * compute,
        "weights": per_byte * weights,
        "kv_cache": per_byte * kernel.cache_bytes,
        "activations": per_byte * activations + vector * layers,
        "overhead": overhead * layers,
    }
    return KernelTime(kernel, layers * (overhead + work + vector), constants.spread, parts)


def transfer_time(
    name: str,
    kind: str,
    count: Number,
    devices: int,
    size: Number,
    device: DeviceModel,
    *,
    alone: bool = False,
    scope: Scope = "tokens",
) -> KernelTime:
    """Seconds of `count` collectives among `devices`, `size` bytes per device each.

    all_reduce   ||t0 + t1 (N - 1), 2 (N - 1) / N * size / (e link)||_p
    all_to_all   ||t0 + t1 (N - 1), (N - 1) / N * size / (e link)||_p

    Devices beyond `domain_size` talk over the network between nodes: the share of the traffic that leaves the node goes
    at its speed. Source of the ring form: Patarasu and Yuan, 2009.
    """
    constants = device.collectives[kind]
    inside = min(devices, device.domain_size)
    factor = (2 if kind == "all_reduce" else 1) * (inside - 1) / inside if inside > 1 else 0.0
    latency = constants.overhead_seconds + constants.per_device_seconds * (devices - 1)
    if alone:
        latency = latency + constants.alone_seconds
    traffic = factor * size / (constants.bandwidth * device.link_bytes_per_second)
    nodes = -(-devices // device.domain_size)
    if nodes > 1:
        crossing = (2 / inside if kind == "all_reduce" else 1) * (nodes - 1) / nodes
        traffic = traffic + crossing * size / (constants.bandwidth * device.node_bytes_per_second)
    seconds = norm(latency, traffic, constants.power)
    kernel = Kernel(
        name=name,
        component="other",
        family="all_reduce" if kind == "all_reduce" else "all_to_all",
        layers=count,
        scope=scope,
    )
    return KernelTime(kernel, seconds * count, constants.spread, {"network": seconds * count})
