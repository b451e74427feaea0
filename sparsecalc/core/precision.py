"""How many bytes elements take: number formats with their scales, per component of a model."""

from dataclasses import field
from math import ceil

from sparsecalc.core.arrays import Number, up
from sparsecalc.core.components import Component
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Ledger, Op


class Precision(Frozen):
    """Formats of weights (by component where they differ), activations and KV cache."""

    weights: NumberFormat
    kv_cache: NumberFormat
    activations: NumberFormat
    by_component: dict[Component, NumberFormat] = field(default_factory=dict)
    as_stored: str = ""
    """Name of the checkpoint's own formats, where ops keep those; then `weights` is that of unquantized ones."""
    states_in_fp32: bool = False
    """Whether all recurrent states are kept in fp32, as llama.cpp keeps them."""
    origin: str = "requested"
    """Where the weights' formats come from: `as published`, `config`, `requested` or `default`."""

    def format_of(self, op: Op) -> NumberFormat | None:
        """The format of the op's matrices, of most of them where they differ; None where they are unquantized."""
        return max(self.formats_of(op), key=lambda share: share[1])[0]

    def formats_of(self, op: Op) -> tuple[tuple[NumberFormat | None, int], ...]:
        """The formats of the op's matrices, each with how many of them have it; None: unquantized."""
        own = self.by_component.get(op.component)
        if own is None and self.as_stored and op.stored_as:
            return op.stored_as
        if own is None and (op.component in self.weights.keeps or op.kind in ("conv", "vector")):
            return ((None, op.matrices),)
        return ((own or self.weights, op.matrices),)

    def formats(self, rows: Ledger) -> dict[str, NumberFormat]:
        """All formats of matrices of a ledger, by id."""
        shares = (share for op in rows if op.matrices for share in self.formats_of(op))
        return {fmt.id: fmt for fmt, _ in shares if fmt}

    def weight_bytes(self, op: Op) -> int:
        """Bytes that the op's own weights take in one layer: matrices in their format, vectors unquantized."""
        return 0 if op.tied else self.used_weight_bytes(op)

    def used_weight_bytes(self, op: Op) -> int:
        """Bytes of the weights that the op multiplies with, its own or another op's."""
        shares = self.formats_of(op)
        matrices = sum(count * self._matrix_bytes(op, fmt) for fmt, count in shares)
        vectors = self.weights if self.as_stored else shares[0][0] or self.weights
        return matrices + ceil(op.vectors * vectors.vector_bits / 8)

    def _matrix_bytes(self, op: Op, fmt: NumberFormat | None) -> int:
        if fmt is None:
            return ceil(op.rows * op.cols * self.weights.kept_as_bits / 8)
        return op.storage.matrix_bytes(op.rows, op.cols, fmt) if op.storage else fmt.matrix_bytes(op.rows, op.cols)

    def layout(self, op: Op) -> str:
        """How the op's matrices are stored: `tca-bme`, `2:4`; empty where they are dense."""
        return op.storage.layout(op.rows, op.cols, self.format_of(op) or self.weights) if op.storage else ""

    def read_weight_bytes(self, op: Op) -> Number:
        """Expected bytes of weights that the step reads in one layer."""
        return self.used_weight_bytes(op) * op.read_share

    def kv_cache_bytes(self, elements: Number) -> Number:
        """Bytes of `elements` of the KV cache."""
        return up(elements * self.kv_cache.bits_per_weight / 8)

    def state_element_bytes(self, op: Op) -> float:
        """Bytes per element of the op's recurrent state: 4 where it is kept in fp32, else as of activations."""
        return 4 if op.state_is_fp32 or self.states_in_fp32 else self.activations.bits / 8

    def state_bytes(self, ledger: Ledger) -> Number:
        """Bytes of recurrent state."""
        return up(ledger.sum(lambda op: op.state_elements * self.state_element_bytes(op)))

    @property
    def name(self) -> str:
        """Short name, as it is typed: `bf16`, `bf16,routed_experts=mxfp4`."""
        own = (f"{part}={fmt.id}" for part, fmt in sorted(self.by_component.items()))
        parts = [self.as_stored or self.weights.id, *own]
        return ",".join(parts)
