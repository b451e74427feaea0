"""How a sparse matrix is stored, to the byte: its values in a number format, and the index that says where they belong.

A quantized matrix keeps the scales of its dense form: they belong to places of the matrix, not to its non-zeros.
"""

from math import ceil
from typing import TYPE_CHECKING

from sparsecalc.core.frozen import Frozen

if TYPE_CHECKING:
    from sparsecalc.core.number_format import NumberFormat

OFFSET_BYTES = 4
"""An offset or a column index is an int32, as in cuSPARSE, scipy and the kernels named below."""


class Storage(Frozen):
    """A way to store a matrix of which some elements are zero."""

    def nonzeros(self, rows: int, cols: int) -> int:
        """Elements of a rows x cols matrix whose values are stored."""
        raise NotImplementedError

    def matrix_bytes(self, rows: int, cols: int, fmt: "NumberFormat") -> int:
        """Bytes of one rows x cols matrix: ceil(nonzeros * bits / 8) + index + scales."""
        raise NotImplementedError

    def layout(self, rows: int, cols: int, fmt: "NumberFormat") -> str:
        """Name of the layout of such a matrix."""
        raise NotImplementedError


class Layout(Frozen):
    """An index of scattered non-zeros.

        index bytes = ceil(nonzeros * index_bits / 8) + tiles * side^2 / 8 (bitmap) + 4 * (tiles + 1) (offsets)

    The share of non-zeros at which it is as large as the dense matrix: (bits - bitmap bits) / (bits + index_bits).
    """

    id: str
    index_bits: int = 0
    """Per non-zero."""
    bitmap_tile: int = 0
    """Side of the square tiles that have a bitmap, one bit per element; 0: none."""
    offset_rows: int = 0
    offset_cols: int = 0
    """Sides of the tiles that have an offset; offset_rows 0: no offsets; offset_cols 0: a whole row."""
    source: str

    def index_bytes(self, rows: int, cols: int, nonzeros: int) -> int:
        """Bytes beside the values."""
        total = ceil(nonzeros * self.index_bits / 8)
        if side := self.bitmap_tile:
            total += ceil(rows / side) * ceil(cols / side) * side * side // 8
        if self.offset_rows:
            tiles = ceil(rows / self.offset_rows) * ceil(cols / (self.offset_cols or cols))
            total += OFFSET_BYTES * (tiles + 1)
        return total

    def break_even_density(self, bits: float) -> float:
        """Share of non-zeros at which a large matrix of `bits` per element takes as much as dense; offsets left out."""
        return max(0.0, (bits - (1 if self.bitmap_tile else 0)) / (bits + self.index_bits))


LAYOUTS = (
    Layout(id="coo", index_bits=64, source="scipy.sparse.coo_array: int32 row and column (torch's are int64)"),
    Layout(
        id="csr", index_bits=32, offset_rows=1, source="scipy.sparse.csr_array, cuSPARSE: int32 column, row offsets"
    ),
    Layout(
        id="tiled-csl",
        index_bits=16,
        offset_rows=128,
        offset_cols=64,
        source="Flash-LLM, arXiv:2309.10285: 16-bit place in a tile of 128 x 64, an offset per tile; its padding of at"
        " most 3 elements per tile is left out",
    ),
    Layout(
        id="tca-bme",
        bitmap_tile=8,
        offset_rows=64,
        offset_cols=64,
        source="SpInfer, doi 10.1145/3689031.3717481: 64-bit bitmap per tile of 8 x 8, an offset per group of 64 x 64",
    ),
)


class ScatteredStorage(Storage):
    """Non-zeros at any place: the smallest of `LAYOUTS` for each matrix, or dense where none of them is smaller.

    nonzeros = round(rows * cols * density).
    """

    density: float

    def nonzeros(self, rows: int, cols: int) -> int:
        """round(rows * cols * density)."""
        return round(rows * cols * self.density)

    def sizes(self, rows: int, cols: int, fmt: "NumberFormat") -> dict[str, int]:
        """Bytes of one matrix in every layout, `dense` among them."""
        count = self.nonzeros(rows, cols)
        values = ceil(count * fmt.bits / 8) + fmt.scale_bytes(rows, cols)
        dense = {"dense": fmt.matrix_bytes(rows, cols)}
        return dense | {layout.id: values + layout.index_bytes(rows, cols, count) for layout in LAYOUTS}

    def matrix_bytes(self, rows: int, cols: int, fmt: "NumberFormat") -> int:
        """Bytes in the smallest layout."""
        return min(self.sizes(rows, cols, fmt).values())

    def layout(self, rows: int, cols: int, fmt: "NumberFormat") -> str:
        """The smallest layout."""
        sizes = self.sizes(rows, cols, fmt)
        return min(sizes, key=lambda name: sizes[name])


class GroupStorage(Storage):
    """N:M: of every M neighbours in a row N are kept, each with its place in ceil(log2 M) bits.

        bytes = ceil(kept * bits / 8) + ceil(kept / unit * ceil(log2 M) / 8) + scales,  kept = rows * ceil(cols / M) * N

    unit: values that share one place (`NumberFormat.sparse_unit`). Source: arXiv:2104.08378.
    """

    kept: int
    of: int

    def nonzeros(self, rows: int, cols: int) -> int:
        """rows * ceil(cols / M) * N, never more than there are."""
        return min(rows * cols, rows * ceil(cols / self.of) * self.kept)

    def matrix_bytes(self, rows: int, cols: int, fmt: "NumberFormat") -> int:
        """Values, places and scales."""
        count = rows * ceil(cols / self.of) * self.kept
        places = ceil(count / fmt.sparse_unit * (self.of - 1).bit_length() / 8)
        return ceil(count * fmt.bits / 8) + places + fmt.scale_bytes(rows, cols)

    def layout(self, rows: int, cols: int, fmt: "NumberFormat") -> str:
        """`2:4`."""
        return f"{self.kept}:{self.of}"


class BlockStorage(Storage):
    """Block-sparse rows (BSR): dense blocks, an int32 column per block, an int32 offset per row of blocks.

        bytes = ceil(kept * br * bc * bits / 8) + 4 * kept + 4 * (rows / br + 1) + scales
        kept  = round(blocks * density)

    Source: scipy.sparse.bsr_array, torch.sparse_bsr (with int32 indices).
    """

    block_rows: int
    block_cols: int
    density: float

    def _kept(self, rows: int, cols: int) -> int:
        return round(ceil(rows / self.block_rows) * ceil(cols / self.block_cols) * self.density)

    def nonzeros(self, rows: int, cols: int) -> int:
        """Elements of the kept blocks."""
        return min(rows * cols, self._kept(rows, cols) * self.block_rows * self.block_cols)

    def matrix_bytes(self, rows: int, cols: int, fmt: "NumberFormat") -> int:
        """Blocks, their columns, the rows' offsets and scales."""
        kept = self._kept(rows, cols)
        index = OFFSET_BYTES * (kept + ceil(rows / self.block_rows) + 1)
        return ceil(kept * self.block_rows * self.block_cols * fmt.bits / 8) + index + fmt.scale_bytes(rows, cols)

    def layout(self, rows: int, cols: int, fmt: "NumberFormat") -> str:
        """`bsr 16x16`."""
        return f"bsr {self.block_rows}x{self.block_cols}"
