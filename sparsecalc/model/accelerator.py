"""An accelerator: datasheet figures (dense peaks) apart from measured ones, each with its sources."""

from sparsecalc.core.frozen import Frozen


class Price(Frozen):
    """Price of one device for an hour."""

    value: float
    as_of: str | None
    source: str | None
    basis: str | None


class ScaleUp(Frozen):
    """The link between devices of one domain; None where a device stands alone."""

    kind: str | None
    bytes_per_second_bidirectional: int | None
    domain_size: int | None


class Accelerator(Frozen):
    """A GPU, TPU, NPU, system on a chip or CPU. SI units; peaks are dense, never the 2:4 ones."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    vendor: str
    kind: str
    arch: str | None = None
    released: str | None = None
    memory_bytes: int
    memory_usable_bytes: int | None = None
    memory_usable_source: str | None = None
    memory_bytes_per_second: int
    peak_flops_per_second: dict[str, int | None]
    structured_sparsity_speedup: float | None = None
    l2_bytes: int | None = None
    compute_units: int | None = None
    boost_clock_hz: int | None = None
    tdp_watts: float | None = None
    scale_up: ScaleUp | None = None
    pcie: str | None = None
    pcie_bytes_per_second: int | None = None
    usd_per_hour: Price | None = None
    measured_fraction: dict[str, float]
    measured_source: str | None = None
    logical_devices: int | None = None
    """Software sees this many devices, each with its share of memory and peaks."""
    sources: tuple[str, ...]
    confidence: str
    unverified_fields: tuple[str, ...] = ()

    @property
    def capacity_bytes(self) -> int:
        """Memory that programs can have: what the driver reports where that is known, else the nominal size."""
        return self.memory_usable_bytes or self.memory_bytes

    @property
    def capacity_is_measured(self) -> bool:
        """Whether `capacity_bytes` is what the driver reports."""
        return self.memory_usable_bytes is not None

    def check(self) -> None:
        """Refuse sizes that are not positive, and more usable memory than there is."""
        if not 0 < self.capacity_bytes <= self.memory_bytes or self.memory_bytes_per_second <= 0:
            raise ValueError("memory_usable_bytes, memory_bytes and memory_bytes_per_second contradict each other")
