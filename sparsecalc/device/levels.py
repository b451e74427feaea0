"""From constants fitted on one accelerator to those of another: by what products and copies were measured to reach."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.device.accelerator import Accelerator, Measured
from sparsecalc.device.time_constants import KernelConstants

Entry = Mapping[str, Any]
Side = Literal["compute", "bandwidth"]
MEASURED: dict[Side, tuple[Measured, ...]] = {"compute": ("matmul_bf16", "matmul_fp16"), "bandwidth": ("bandwidth",)}


class Level(Frozen):
    """Share of the peak and of the bandwidth that 16-bit products of an engine reach."""

    compute: float
    bandwidth: float

    @classmethod
    def of(cls, fields: Mapping[str, float]) -> "Level":
        """Of the fitted constants of 16-bit products."""
        return cls(compute=fields["compute"], bandwidth=fields["bandwidth"])

    def scaled(self, constants: KernelConstants, base: "Level") -> KernelConstants:
        """Constants that were fitted where products reach `base`; nothing is faster than the data sheet."""
        return constants.but(
            compute=min(1.0, constants.compute * self.compute / base.compute),
            bandwidth=min(1.0, constants.bandwidth * self.bandwidth / base.bandwidth),
        )


def measured(gpu: Accelerator, side: Side) -> float | None:
    """What the best product, or a copy, was measured to reach on an accelerator; None where it rests on memory."""
    if gpu.measured_fraction is None or gpu.kind == "cpu" or {"measured_fraction", "all"} & {*gpu.unverified_fields}:
        return None
    found = gpu.measured_fraction.fractions
    return next((found[name] for name in MEASURED[side] if name in found), None)


def level(
    gpu: Accelerator,
    entry: Entry,
    share: Mapping[str, float],
    kin: Accelerator | None,
    sibling: Accelerator | None = None,
) -> Level:
    """The level of an accelerator, from the entry of constants that has its 16-bit products.

    fitted on it                its own
    fitted on `kin`             kin's * measured / kin's measured, where both were measured
    else, where measured        measured * share           (share: of products that engines run to the best product)
    else                        the entry's

    What was not measured on the accelerator itself is taken from its `sibling`, of the same silicon or series.
    """
    fitted = Level.of(entry["kernels"]["gemm"])
    if gpu.id in entry.get("accelerators", ()):
        return fitted

    def side(name: Side) -> float:
        own, base = measured(gpu, name), measured(kin, name) if kin else None
        if own is None and sibling:
            own = measured(sibling, name)
        if own is None:
            return float(getattr(fitted, name))
        return min(1.0, getattr(fitted, name) * own / base if base else own * share[name])

    return Level(compute=side("compute"), bandwidth=side("bandwidth"))


def base_of(entry: Entry, entries: Iterable[Entry]) -> Level | None:
    """What 16-bit products reach where an entry was fitted; None where nobody fitted them."""
    if "gemm" in entry.get("kernels", {}):
        return Level.of(entry["kernels"]["gemm"])
    first = entry.get("accelerators", [None])[0]
    same = (other for other in entries if first and other.get("accelerators", [None])[0] == first)
    return next((Level.of(other["kernels"]["gemm"]) for other in same if "gemm" in other.get("kernels", {})), None)
