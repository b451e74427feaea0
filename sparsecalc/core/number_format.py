"""Number formats: bits per element, and the bytes of their scales."""

from math import ceil

from sparsecalc.core.components import Component
from sparsecalc.core.frozen import Frozen


class NumberFormat(Frozen):
    """A way to store matrices: `bits` per element plus `block_bytes` of scales per block of rows x cols elements.

    bytes(rows x cols) = values + ceil(rows / br) * ceil(cols / bc) * block_bytes + cols * column_bytes + tensor_bytes
    values             = ceil(rows * cols * bits / 8), or rows * ceil(cols / pack_cols) * pack_bytes
    """

    id: str
    bits: float
    block_rows: int = 1
    block_cols: int = 1
    block_bytes: float = 0
    """Of the scale and the zero point of a block; half a byte for a zero point of 4 bits."""
    column_bytes: int = 0
    """For each column, such as GPTQ's order of input features."""
    tensor_bytes: int = 0
    pack_cols: int = 0
    """Elements that share a word where a word is not filled (ten of 3 bits in 32); 0: no bit is wasted."""
    pack_bytes: int = 0
    keeps: tuple[Component, ...] = ()
    """Components that are left in `kept_as`, as the tools that write this format do."""
    kept_as_bits: float = 16
    vector_bits: float = 16
    sparse_unit: int = 1
    """Neighbours that N:M sparsity keeps or drops together (FP4 on tensor cores: pairs)."""
    compute: str = ""
    """Format that both operands are multiplied in, where engines quantize activations too; empty: 16 bits."""
    compute_needs: str = ""
    """Peak that a device must have for that; without it the weights are widened and multiplied in 16 bits."""
    source: str = ""

    def matrix_bytes(self, rows: int, cols: int) -> int:
        """Bytes of one rows x cols matrix; a block whose side is 0 spans the whole side (per channel, per tensor)."""
        if not rows or not cols:
            return 0
        if self.pack_cols:
            return rows * ceil(cols / self.pack_cols) * self.pack_bytes + self.scale_bytes(rows, cols)
        return ceil(rows * cols * self.bits / 8) + self.scale_bytes(rows, cols)

    def scale_bytes(self, rows: int, cols: int) -> int:
        """Bytes of the scales of one matrix."""
        blocks = ceil(rows / (self.block_rows or rows)) * ceil(cols / (self.block_cols or cols))
        return ceil(blocks * self.block_bytes) + cols * self.column_bytes + self.tensor_bytes

    @property
    def bits_per_weight(self) -> float:
        """Bits per element of a large matrix, scales included (per channel and per tensor scales vanish)."""
        per_block = self.block_rows * self.block_cols
        return self.bits + (8 * self.block_bytes / per_block if per_block else 0)
