"""What one kernel does on one device, and all that turns ops into kernels besides the ops."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sparsecalc.core.arrays import Number
from sparsecalc.core.components import Component
from sparsecalc.core.ops import Op
from sparsecalc.core.precision import Precision
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.placement import Placement

if TYPE_CHECKING:  # imported where weights are sparse
    from sparsecalc.estimate.sparse_speedup import SparseSpeedup

Family = Literal[
    "gemm",
    "experts",
    "attention_decode",
    "attention_prefill",
    "latent_decode",
    "vector",
    "scan",
    "all_reduce",
    "all_to_all",
]

Scope = Literal["tokens", "experts", "sequences", "work", "engine"]
"""What the seconds of a kernel follow: the step's tokens on this device; the tokens of all copies of the attention;
its sequences; the attention and states of one workload; the engine's own time, by sequences."""

ACTIVATION_BYTES = 2
"""Engines keep activations in 16 bits between kernels."""


@dataclass(slots=True, kw_only=True)
class Kernel:
    """What one kernel does on one device, for each of `layers` layers. Counts may be numpy arrays."""

    name: str
    component: Component
    family: Family
    form: str = "bf16"
    """Of the operands, which chooses the constants: the format that is multiplied, or weight-only."""
    dtype: str = ""
    """Whose peak bounds it; empty: it computes no products."""
    stored: str = ""
    """Format of the weights."""
    group: str = ""
    layers: Number = 1
    launches: Number = 1
    flops: Number = 0
    padding_flops: Number = 0
    """What matrix units compute for nothing, since they take whole tiles of rows."""
    weight_bytes: Number = 0
    cache_bytes: Number = 0
    activation_bytes: Number = 0
    vector_bytes: Number = 0
    """Traffic of elementwise kernels inside, which run after the products."""
    distinct: Number = 0
    """Experts whose weights are read."""
    extent: Number = 1
    """What small kernels lack: rows of a product, rows per expert, context of a prompt's attention."""
    rows_per_cache_head: Number = math.inf
    """Attention: query rows that share one head of the cache, which fill a tile of the matrix units."""
    tile_rows: int = 0
    """Attention: rows of the tile that they fill; 0: those of the device's matrix units."""
    speedup: Number = 1
    """Of a sparse kernel over its dense twin, by measurement."""
    technique: str = ""
    scope: Scope = "tokens"


@dataclass(frozen=True, slots=True)
class Setting:
    """All that turns ops into kernels besides the ops."""

    precision: Precision
    placement: Placement
    peaks: dict[str, float]
    accelerator: str
    mixed_tile_rows: int = 0
    """In a step with prompts: rows of a tile that each query head of a decoding sequence takes alone; 0: none does."""
    quantized_products: str = ""
    """The format in which the engine multiplies all weights below 16 bits; empty: each in its own."""

    @classmethod
    def of(cls, precision: Precision, placement: Placement, device: DeviceModel, tile_rows: int = 0) -> "Setting":
        """On a device under its engine."""
        products = device.engine.quantized_products
        return cls(precision, placement, device.peak_flops_per_second, device.accelerator, tile_rows, products)

    def form(self, op: Op) -> tuple[str, str]:
        """Form of an op's operands, and the format whose peak bounds it: 16 bits where the device lacks the format."""
        stored = self.precision.format_of(op)
        wide = wide_format(self.peaks)
        if stored is None or stored.bits >= 16:
            own = stored.id if stored else wide
            return own, own if own in self.peaks else wide
        if self.quantized_products:
            return "weight-only", self.quantized_products if self.quantized_products in self.peaks else wide
        if stored.compute and stored.compute_needs in self.peaks:
            return stored.id, stored.compute
        return "weight-only", wide

    def stored(self, op: Op) -> str:
        """Id of the format of an op's weights; empty where they are unquantized."""
        found = self.precision.format_of(op)
        return found.id if found else ""

    def dense_weight_bytes(self, op: Op) -> int:
        """Bytes of the weights in one layer, were they stored dense."""
        return self.precision.used_weight_bytes(replace(op, storage=None) if op.storage else op)

    def speedup(self, op: Op) -> Number:
        """Of a product with sparse weights over its dense twin; 1 for dense weights."""
        return self.sparse_speedup(op).value if op.storage else 1.0

    def sparse_speedup(self, op: Op) -> "SparseSpeedup":
        """The same with its source: measured on this device, or a bound."""
        from sparsecalc.estimate.sparse_speedup import speedup

        stored = self.precision.format_of(op) or self.precision.activations
        return speedup(op, self.accelerator, stored.id, op.tokens, op.rows * op.cols)


def wide_format(peaks: dict[str, float]) -> str:
    """The 16-bit format that the device multiplies fastest, FP32 where it has none."""
    return next((name for name in ("bf16", "fp16", "fp32") if name in peaks), next(iter(peaks)))
