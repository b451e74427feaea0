"""Bytes of matrices: number formats and their scales, sparse layouts, and formats by component. Every byte by hand."""

import pytest

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.storage import LAYOUTS, BlockStorage, GroupStorage, ScatteredStorage

BF16 = NumberFormat(id="bf16", bits=16)
FP32 = NumberFormat(id="fp32", bits=32, vector_bits=32)
FP8_BLOCKS = NumberFormat(id="fp8-blocks", bits=8, block_rows=128, block_cols=128, block_bytes=4)
FP4_ROWS = NumberFormat(id="fp4", bits=4, block_cols=32, block_bytes=1, sparse_unit=2)
LAYOUT = {layout.id: layout for layout in LAYOUTS}


# --- core/number_format ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "rows", "cols", "size"),
    [
        (BF16, 3, 5, 3 * 5 * 2),
        (FP4_ROWS, 3, 33, 50 + 3 * 2 * 1),  # 99 elements of half a byte, two blocks in each row
        (FP8_BLOCKS, 128, 128, 128 * 128 + 4),
        (FP8_BLOCKS, 129, 128, 129 * 128 + 2 * 1 * 4),
        (FP8_BLOCKS, 1, 257, 257 + 1 * 3 * 4),
        (BF16.but(bits=8, block_cols=0, block_bytes=2), 3, 500, 1500 + 3 * 2),  # a scale per row
        (BF16.but(bits=8, block_rows=0, block_bytes=2), 3, 500, 1500 + 500 * 2),  # a scale per column
        (BF16.but(bits=8, block_rows=0, block_cols=0, block_bytes=2), 3, 500, 1500 + 2),  # one scale
        (FP4_ROWS.but(tensor_bytes=4), 2, 32, 32 + 2 + 4),
        (FP8_BLOCKS, 0, 128, 0),
        (FP4_ROWS.but(tensor_bytes=4), 2, 0, 0),
    ],
)
def test_bytes_of_a_matrix(fmt: NumberFormat, rows: int, cols: int, size: int) -> None:
    assert fmt.matrix_bytes(rows, cols) == size


@pytest.mark.parametrize(
    ("fmt", "bits"),
    [
        (BF16, 16),
        (FP4_ROWS, 4 + 8 / 32),
        (FP8_BLOCKS, 8 + 8 * 4 / (128 * 128)),
        (BF16.but(bits=8, block_cols=0, block_bytes=2), 8),  # a scale per row vanishes in a wide matrix
        (FP4_ROWS.but(tensor_bytes=4), 4 + 8 / 32),
    ],
)
def test_bits_per_weight(fmt: NumberFormat, bits: float) -> None:
    assert fmt.bits_per_weight == bits


# --- core/storage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "rows", "cols", "nonzeros", "size"),
    [
        ("coo", 128, 64, 100, 100 * 8),
        ("csr", 128, 64, 100, 100 * 4 + 4 * (128 + 1)),
        ("csr", 3, 500, 0, 4 * (3 + 1)),
        ("tiled-csl", 128, 64, 100, 100 * 2 + 4 * (1 + 1)),
        ("tiled-csl", 129, 65, 100, 100 * 2 + 4 * (2 * 2 + 1)),
        ("tca-bme", 64, 64, 100, 8 * 8 * 8 + 4 * (1 + 1)),  # 64 bitmaps of 64 bits, whatever the non-zeros
        ("tca-bme", 65, 9, 1, 9 * 2 * 8 + 4 * (2 * 1 + 1)),
        ("tca-bme", 9, 65, 1, 2 * 9 * 8 + 4 * (1 * 2 + 1)),  # 2 x 9 bitmaps, 1 x 2 groups
    ],
)
def test_bytes_of_an_index(layout: str, rows: int, cols: int, nonzeros: int, size: int) -> None:
    assert LAYOUT[layout].index_bytes(rows, cols, nonzeros) == size


@pytest.mark.parametrize(
    ("layout", "bits", "density"),
    [
        ("coo", 16, 16 / (16 + 64)),
        ("csr", 16, 16 / (16 + 32)),
        ("tiled-csl", 16, 16 / (16 + 16)),
        ("tca-bme", 16, (16 - 1) / 16),
        ("tca-bme", 4, (4 - 1) / 4),
        ("tca-bme", 0.5, 0),  # the bitmap alone is larger than the dense matrix
    ],
)
def test_density_at_which_an_index_pays(layout: str, bits: float, density: float) -> None:
    assert LAYOUT[layout].break_even_density(bits) == density


@pytest.mark.parametrize(
    ("density", "nonzeros", "sizes"),
    [
        # 128 x 64 elements in 16 bits; per layout: 2 bytes for each value, and the index
        (0.5, 4096, {"coo": 8192 + 32768, "csr": 8192 + 16384 + 516, "tiled-csl": 16384 + 8, "tca-bme": 8192 + 1036}),
        (0.01, 82, {"coo": 164 + 656, "csr": 164 + 328 + 516, "tiled-csl": 164 + 164 + 8, "tca-bme": 164 + 1036}),
        (0, 0, {"coo": 0, "csr": 516, "tiled-csl": 8, "tca-bme": 1036}),
    ],
)
def test_sizes_of_scattered_nonzeros(density: float, nonzeros: int, sizes: dict[str, int]) -> None:
    storage = ScatteredStorage(density=density)
    assert storage.nonzeros(128, 64) == nonzeros
    assert storage.sizes(128, 64, BF16) == {"dense": 128 * 64 * 2, **sizes}


@pytest.mark.parametrize(
    ("density", "layout", "size"),
    [(1, "dense", 16384), (0.5, "tca-bme", 9228), (0.01, "tiled-csl", 336), (0.0001, "coo", 1 * 2 + 8)],
)
def test_scattered_nonzeros_take_the_smallest_layout(density: float, layout: str, size: int) -> None:
    storage = ScatteredStorage(density=density)
    assert (storage.layout(128, 64, BF16), storage.matrix_bytes(128, 64, BF16)) == (layout, size)


def test_scattered_nonzeros_keep_the_scales_of_the_dense_matrix() -> None:
    # 819 values of half a byte; 128 rows x 2 blocks of scales
    sizes = ScatteredStorage(density=0.1).sizes(128, 64, FP4_ROWS)
    assert sizes["dense"] == 4096 + 256
    assert sizes["tiled-csl"] == 410 + 256 + 819 * 2 + 8


@pytest.mark.parametrize(
    ("kept", "of", "fmt", "rows", "cols", "nonzeros", "size"),
    [
        (2, 4, BF16, 4, 8, 16, 16 * 2 + 16 * 2 // 8),
        (2, 4, BF16, 4, 6, 16, 16 * 2 + 16 * 2 // 8),  # a last group of two keeps two
        (1, 8, BF16, 3, 16, 6, 6 * 2 + 3),  # 6 places of 3 bits: 18 bits in 3 bytes
        (3, 5, BF16, 2, 5, 6, 6 * 2 + 3),  # of 5, a place takes 3 bits
        (2, 4, BF16, 4, 1, 4, 8 * 2 + 2),  # stored as a whole group, though only one element of it exists
        (2, 4, FP4_ROWS, 4, 64, 128, 64 + 128 // 2 * 2 // 8 + 4 * 2),  # pairs share a place; two scales a row
    ],
)
def test_groups_of_neighbours(
    kept: int, of: int, fmt: NumberFormat, rows: int, cols: int, nonzeros: int, size: int
) -> None:
    storage = GroupStorage(kept=kept, of=of)
    assert storage.nonzeros(rows, cols) == nonzeros
    assert storage.matrix_bytes(rows, cols, fmt) == size
    assert storage.layout(rows, cols, fmt) == f"{kept}:{of}"


@pytest.mark.parametrize(
    ("fmt", "rows", "cols", "density", "nonzeros", "size"),
    [
        (BF16, 32, 32, 0.5, 2 * 256, 2 * 256 * 2 + 4 * 2 + 4 * (2 + 1)),
        (BF16, 32, 64, 0.25, 2 * 256, 2 * 256 * 2 + 4 * 2 + 4 * (2 + 1)),
        (BF16, 17, 16, 1, 17 * 16, 2 * 256 * 2 + 4 * 2 + 4 * (2 + 1)),  # the second block stands out
        (FP4_ROWS, 32, 32, 0.5, 2 * 256, 256 + 4 * 2 + 4 * (2 + 1) + 32),
    ],
)
def test_blocks(fmt: NumberFormat, rows: int, cols: int, density: float, nonzeros: int, size: int) -> None:
    storage = BlockStorage(block_rows=16, block_cols=16, density=density)
    assert storage.nonzeros(rows, cols) == nonzeros
    assert storage.matrix_bytes(rows, cols, fmt) == size


def test_blocks_that_are_not_square() -> None:
    storage = BlockStorage(block_rows=8, block_cols=32, density=0.5)  # 4 x 2 blocks, 4 of them kept
    assert storage.matrix_bytes(32, 64, BF16) == 4 * 256 * 2 + 4 * 4 + 4 * (4 + 1)
    assert storage.layout(32, 64, BF16) == "bsr 8x32"


# --- core/precision -------------------------------------------------------------------------------------------------

QUANTIZED = FP4_ROWS.but(keeps=("embedding", "lm_head"), kept_as_bits=16, vector_bits=32)
PRECISION = Precision(weights=QUANTIZED, kv_cache=FP8_BLOCKS, activations=BF16)


def op(**fields: object) -> Op:
    return Op(**{"name": "op", "component": "dense_ffn", "kind": "matmul", "rows": 10, "cols": 32, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        (op(matrices=3), 3 * (10 * 32 // 2 + 10)),
        (op(matrices=3, vectors=7), 3 * (10 * 32 // 2 + 10) + 7 * 4),
        (op(vectors=7), 7 * 4),
        (op(component="lm_head", matrices=2, vectors=7), 2 * 10 * 32 * 2 + 7 * 4),  # kept in 16 bits
        (op(kind="conv", matrices=1), 10 * 32 * 2),  # no quantizer touches convolutions
        (op(matrices=3, storage=GroupStorage(kept=2, of=4)), 3 * (80 + 20 + 10)),  # 160 values, 80 pairs of 2 bits
        (op(component="lm_head", matrices=1, storage=GroupStorage(kept=2, of=4)), 10 * 32 * 2),
    ],
)
def test_bytes_of_weights(weights: Op, size: int) -> None:
    assert PRECISION.weight_bytes(weights) == PRECISION.used_weight_bytes(weights) == size


def test_tied_weights_take_no_bytes_and_are_read() -> None:
    tied = op(component="lm_head", matrices=1, tied=True, read_share=0.5)
    assert PRECISION.weight_bytes(tied) == 0
    assert PRECISION.used_weight_bytes(tied) == 10 * 32 * 2
    assert PRECISION.read_weight_bytes(tied) == 10 * 32 * 2 / 2


def test_a_component_in_a_format_of_its_own() -> None:
    mixed = PRECISION.but(by_component={"routed_experts": FP8_BLOCKS, "lm_head": FP32})
    assert mixed.weight_bytes(op(component="routed_experts", matrices=2, vectors=7)) == 2 * (320 + 4) + 7 * 2
    assert (
        mixed.weight_bytes(op(component="lm_head", matrices=1, vectors=7)) == 320 * 4 + 7 * 4
    )  # though `keeps` has it
    assert mixed.weight_bytes(op(matrices=1)) == 160 + 10
    assert mixed.name == "fp4,lm_head=fp32,routed_experts=fp8-blocks"


def test_format_of_what_is_left_unquantized() -> None:
    assert PRECISION.format_of(op()) is QUANTIZED
    for unquantized in (op(component="embedding"), op(kind="conv"), op(kind="vector")):
        assert PRECISION.format_of(unquantized) is None


def test_layout_of_weights() -> None:
    assert PRECISION.layout(op(storage=GroupStorage(kept=2, of=4))) == "2:4"
    assert PRECISION.layout(op()) == ""


@pytest.mark.parametrize(("elements", "size"), [(0, 0), (16384, 16384 + 4), (100, 101)])
def test_bytes_of_a_kv_cache_with_scales(elements: int, size: int) -> None:
    assert PRECISION.kv_cache_bytes(elements) == size  # 8 + 32 / 16384 bits, rounded up to bytes


def test_bytes_of_recurrent_state() -> None:
    rows = Ledger([op(state_elements=10, state_is_fp32=True, layers=3), op(state_elements=7, layers=2)])
    assert PRECISION.state_bytes(rows) == 3 * 10 * 4 + 2 * 7 * 2
    assert PRECISION.but(activations=FP8_BLOCKS).state_bytes(rows) == 3 * 10 * 4 + 2 * 7 * 1
