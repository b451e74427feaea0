"""`Accelerator`: what a device is by its data sheet, with measured factors, price and sources kept apart from it."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Dtype = Literal["fp64", "fp64_tensor", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4"]
"""Formats of a peak. bf16 to fp4 are matrix units' rates; fp32 and fp64 the vector units', fp64_tensor the matrix's."""

Measured = Literal[
    "matmul_fp32",
    "matmul_bf16",
    "matmul_bf16_torch",
    "matmul_fp16",
    "matmul_fp16_sustained",
    "matmul_fp8",
    "matmul_fp8_best",
    "matmul_int8",
    "matmul_fp4",
    "bandwidth",
    "bandwidth_read",
    "bandwidth_triad",
    "gemv_fp32_bandwidth",
    "gemv_bf16_bandwidth",
    "allreduce_8gpu_busbw",
    "allreduce_4gpu_ring_busbw",
]
"""Of what: `matmul_X` X's dense peak, `*bandwidth*` memory_bytes_per_second, `allreduce_*` one direction of a link."""


def _is_a_number(value: object) -> object:
    """80e9 may stand for an integer; true and "80" may not."""
    if isinstance(value, bool | str):
        raise ValueError("Input should be a number")
    return value


Positive = Annotated[float, Field(gt=0, le=2**70, strict=True)]
PositiveInt = Annotated[int, Field(gt=0, le=2**53), BeforeValidator(_is_a_number)]
Fraction = Annotated[float, Field(gt=0, le=1.5, strict=True)]
"""Above 1 where boards clock higher than the peak assumes, or a switch adds in flight."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleUp(_Facts):
    """The fast links among the devices of one node or rack."""

    kind: str
    bytes_per_second_bidirectional: Positive | None
    """Per device, both directions together, as vendors print it; half of it per direction."""
    domain_size: PositiveInt
    """Devices that the links join."""
    largest_domain_size: PositiveInt | None = None
    node_size: PositiveInt | None = None
    """Devices under one operating system, where the domain is larger."""
    peer_bytes_per_second: Positive | None = None
    """Between two devices, per direction, where links go pairwise and not through a switch."""
    note: str | None = None


class CpuLink(_Facts):
    """A link to the CPU that is faster than PCIe; `shared_by` devices have it together."""

    kind: str
    bytes_per_second_bidirectional: Positive
    shared_by: PositiveInt


class Price(_Facts):
    """What somebody asked for it, and when. Prices move: `value` is no more than that."""

    value: Positive
    as_of: str
    source: str
    basis: str
    note: str | None = None


class MeasuredFraction(_Facts):
    """What was reached of the data sheet's figures."""

    fractions: dict[Measured, Fraction]
    source: str
    note: str | None = None


class Accelerator(_Facts):
    """One device. Peaks are dense, never the doubled 2:4 figures that data sheets put first; null: none, or not known.

    Source: each file's own `sources`; what rests on memory or arithmetic alone is named in `unverified_fields`.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=100)]
    name: str
    vendor: str
    kind: Literal["gpu", "soc", "asic", "cpu"]
    arch: str = ""
    released: Annotated[str, Field(pattern=r"^\d{4}(-\d{2})?$")] | None = None
    aliases: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")], ...] = ()
    """Short names that people type, lower-case; a name of several parts means the commonest in data centres."""

    memory_kind: Literal["HBM", "GDDR", "LPDDR", "DDR"] | None = None
    """Of which kind its memory is, whatever the generation."""
    memory_bytes: PositiveInt
    """Nominal. Data sheets' GB of memory chips are GiB."""
    memory_options_bytes: tuple[PositiveInt, ...] = ()
    """Other sizes that it is sold with, all else equal (`M4 Max 64GB`); memory_bytes is the largest."""
    memory_usable_bytes: PositiveInt | None = None
    """What the driver, or on shared memory the operating system, leaves to programs."""
    memory_usable_source: str | None = None
    memory_bytes_per_second: Positive

    peak_flops_per_second: dict[Dtype, Positive | None]
    structured_sparsity_speedup: Positive | None = None
    """Peak with 2:4 weights over the dense peak; null where there is none."""
    structured_sparsity_speedup_by_dtype: dict[Dtype, Positive] = Field(default_factory=dict)
    """Formats for which that ratio is another."""

    l2_bytes: PositiveInt | None = None
    """The last level of cache (MiB as printed); `notes` says where it is not an L2."""
    sm_count: PositiveInt | None = None
    """Streaming multiprocessors, compute units or cores."""
    boost_clock_hz: Positive | None = None
    tdp_watts: Positive | None = None
    logical_devices: PositiveInt = 1
    """Devices that software sees; every figure here is for all of them together."""

    scale_up: ScaleUp | None = None
    """Null: only PCIe, or no link at all."""
    cpu_link: CpuLink | None = None
    pcie: str | None = None
    pcie_bytes_per_second: Positive | None = None
    """Per direction, before protocol losses: what data/interconnects.json has for 16 lanes, in proportion for fewer."""

    calibration: str | None = None
    """File of constants that were fitted to this very device (`local`: the user's own); they precede built-in ones."""

    detected: str | None = None
    """What this machine's system told of it (`local` without a calibration)."""

    usd_per_hour: Price | None = None
    measured_fraction: MeasuredFraction | None = None

    sources: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    confidence: Literal["verified", "partly verified", "from memory", "measured"]
    unverified_fields: tuple[str, ...] = ()
    """Names of fields here (`peak_flops_per_second.fp8` for one peak), or `all`."""
    notes: str = ""

    @model_validator(mode="after")
    def _usable_is_part_of_nominal(self) -> "Accelerator":
        if self.memory_usable_bytes is not None and self.memory_usable_bytes > self.memory_bytes:
            raise ValueError(f"memory_usable_bytes is more than memory_bytes ({self.memory_bytes})")
        return self

    def with_memory(self, memory_bytes: int) -> "Accelerator":
        """The same with another of its sizes; as large a share of it is usable."""
        usable = self.memory_usable_bytes and int(self.memory_usable_bytes / self.memory_bytes * memory_bytes)
        return self.model_copy(update={"memory_bytes": memory_bytes, "memory_usable_bytes": usable})

    @property
    def capacity_bytes(self) -> int:
        """Bytes that programs can have: the usable ones where known, else the nominal."""
        return self.memory_bytes if self.memory_usable_bytes is None else self.memory_usable_bytes

    @property
    def capacity_is_measured(self) -> bool:
        """Whether `capacity_bytes` is what a system reports (memory_usable_source), not the data sheet's figure."""
        return self.memory_usable_bytes is not None

    def sparse_speedup(self, dtype: Dtype) -> float | None:
        """Peak with 2:4 weights over the dense peak, for one format; None where the device has no such mode."""
        return self.structured_sparsity_speedup_by_dtype.get(dtype, self.structured_sparsity_speedup)
