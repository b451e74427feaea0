"""Sparse kernels beside their dense twin: a weight stored sparsely, or only a part of it used, over densities.

2:4 and its compressed form run on CUDA only; CSR and BSR wherever torch has kernels for them. Rows are raw timings; the
break-even is where the line between two measured densities crosses the dense time.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from sparsecalc.core.errors import InputError, SparsecalcError, reason_of
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.measure.calibrate.benchmark import MOST_COPIES, Work, copies_for, each
from sparsecalc.measure.machine.random_tensors import DTYPES, random_tensor
from sparsecalc.measure.machine.samples import Samples
from sparsecalc.measure.machine.stopwatch import take_samples

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
BLOCK = 16
"""Side of the blocks of BSR; block-sparse rows keep whole strips of BLOCK outputs, which a dense kernel multiplies."""


@dataclass(frozen=True)
class Sizes:
    """A weight of rows x cols (outputs x inputs), and how many rows of activations it multiplies."""

    rows: int = 4096
    cols: int = 4096
    tokens: tuple[int, ...] = (1, 64)
    densities: tuple[float, ...] = DENSITIES
    dtype: str = "fp32"
    heads: int = 32
    """Rows fall into so many heads (technique `heads`)."""
    budget_seconds: float = 1.0
    """Time given to one kernel."""


def compare_kernels(technique: str, device: torch.device | str, sizes: Sizes) -> list[dict[str, Any]]:
    """A row per number of tokens and density: seconds of the sparse kernel, of its dense twin, and the speed-up.

    `technique`: 2:4, csr, bsr, block (whole strips of outputs), heads (the projections of chosen heads), or neurons
    (rows of the weight gathered for every call, as a predictor picks them). Densities are shares of the weight that
    is used; 2:4 has only one half. The weights are cold (see microbench); the matrices are alike in all rows.

    Raises InputError for an unknown technique, and SparsecalcError where this device or torch has no such kernel.
    """
    if technique not in KERNELS:
        raise InputError(f"unknown technique '{technique[:40]}'{did_you_mean(technique, KERNELS)}")
    device = torch.device(device)
    densities = (0.5,) if technique == "2:4" else sizes.densities
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch calls its sparse tensors a beta
        return [row for tokens in sizes.tokens for row in _rows(technique, device, sizes, densities, tokens)]


def _rows(
    technique: str, device: torch.device, sizes: Sizes, densities: Sequence[float], tokens: int
) -> list[dict[str, Any]]:
    inputs = random_tensor((tokens, sizes.cols), DTYPES[sizes.dtype], device, 1.0)
    dense = _timed(_dense(inputs, sizes, device), device, sizes)
    rows = []
    for density in densities:
        sparse = _timed(_sparse(technique, inputs, sizes, density), device, sizes)
        row = {"technique": technique, "rows": sizes.rows, "cols": sizes.cols, "tokens": tokens}
        row |= {"density": density, "dtype": sizes.dtype, "device": device.type}
        row |= {"seconds": sparse.median, "samples": sparse.seconds}
        row |= {"dense_seconds": dense.median, "dense_samples": dense.seconds}
        rows.append({**row, "speedup": dense.median / sparse.median})
    return rows


def break_even(rows: Sequence[dict[str, Any]]) -> float | None:
    """The largest density at which the sparse kernel is as fast as the dense one; None where no row crosses it.

    `rows` are of one number of tokens. Between the last measured density that wins and the next, the speed-up is
    interpolated in a straight line.
    """
    ordered = sorted(rows, key=lambda row: row["density"])
    winning = [index for index, row in enumerate(ordered) if row["speedup"] >= 1]
    if not winning or winning[-1] == len(ordered) - 1:
        return None
    below, above = ordered[winning[-1]], ordered[winning[-1] + 1]
    share = (below["speedup"] - 1) / (below["speedup"] - above["speedup"])
    return float(below["density"] + share * (above["density"] - below["density"]))


def _timed(work: Work, device: torch.device, sizes: Sizes) -> Samples:
    samples = take_samples(work.run, device, budget_seconds=sizes.budget_seconds, graph=work.graph)
    return samples.with_seconds([seconds / work.repeats for seconds in samples.seconds])


def _dense(inputs: Any, sizes: Sizes, device: torch.device) -> Work:
    nbytes = sizes.rows * sizes.cols * inputs.element_size()
    shape = (sizes.rows, sizes.cols)
    weights = [random_tensor(shape, inputs.dtype, device) for _ in range(copies_for(nbytes, device))]
    return each(functional.linear, [(inputs, weight) for weight in weights])


def _sparse(technique: str, inputs: Any, sizes: Sizes, density: float) -> Work:
    """As many copies as are cold at this density."""
    used = sizes.rows * sizes.cols * density * inputs.element_size()
    copies = copies_for(max(1, int(used)), inputs.device)
    try:
        return KERNELS[technique](inputs, sizes, density, copies)
    except (RuntimeError, NotImplementedError) as error:
        where = f"{technique} in {sizes.dtype} on {inputs.device.type} with torch {torch.__version__}"
        raise SparsecalcError(f"{where}: {reason_of(error)}") from error


def pruned(rows: int, cols: int, density: float, block: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A random weight of which blocks of block x block elements are kept at random, `density` of them."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(rows // block, cols // block, generator=generator) < density
    kept[0, 0] = True  # never empty
    mask = kept.repeat_interleave(block, 0).repeat_interleave(block, 1).to(device)
    return random_tensor((rows, cols), dtype, device) * mask


def _semi_structured(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    """cuSPARSELt's (or CUTLASS's) 2:4; torch pads M to 8 rows."""
    if inputs.device.type != "cuda":
        raise SparsecalcError("2:4 kernels need a CUDA device of compute capability 8.0 or more")
    weight = random_tensor((sizes.rows, sizes.cols), inputs.dtype, inputs.device)
    weight *= torch.tensor([1, 1, 0, 0], device=inputs.device, dtype=inputs.dtype).repeat(sizes.cols // 4)
    stored = [torch.sparse.to_sparse_semi_structured(weight) for _ in range(copies)]
    return each(functional.linear, [(inputs, copy) for copy in stored])


def _csr(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    """Compressed rows with 32-bit indices; one row of activations is a matrix-vector product."""
    weight = pruned(sizes.rows, sizes.cols, density, 1, inputs.dtype, inputs.device).to_sparse_csr()
    return _compressed(inputs, weight, copies, torch.sparse_csr_tensor)


def _bsr(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    """Compressed rows of BLOCK x BLOCK blocks."""
    weight = pruned(sizes.rows, sizes.cols, density, BLOCK, inputs.dtype, inputs.device).to_sparse_bsr((BLOCK, BLOCK))
    return _compressed(inputs, weight, copies, torch.sparse_bsr_tensor)


def _compressed(inputs: Any, weight: Any, copies: int, make: Callable[..., Any]) -> Work:
    def copy() -> Any:
        index = (weight.crow_indices().int(), weight.col_indices().int())
        return make(*index, weight.values().clone(), size=weight.shape)

    stored = [copy() for _ in range(copies)]
    if len(inputs) == 1:
        return each(torch.mv, [(matrix, inputs[0]) for matrix in stored], graph=False)
    columns = inputs.t().contiguous()
    return each(torch.mm, [(matrix, columns) for matrix in stored], graph=False)


def _strips(inputs: Any, sizes: Sizes, density: float, copies: int, unit: int) -> Work:
    """Chosen strips of `unit` outputs, gathered from the weight for every call and multiplied densely.

    Every call asks for other strips, until all of every copy of the whole weight have been used.
    """
    shape = (sizes.rows // unit, unit, sizes.cols)
    nbytes = sizes.rows * sizes.cols * inputs.element_size()
    whole = [random_tensor(shape, inputs.dtype, inputs.device) for _ in range(copies_for(nbytes, inputs.device))]
    count = max(1, round(shape[0] * density))
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(0))
    choices = [part.sort().values.to(inputs.device) for part in order.split(count) if len(part) == count]

    def multiply(weight: Any, chosen: Any) -> Any:
        return functional.linear(inputs, weight.index_select(0, chosen).flatten(0, 1))

    return each(multiply, [(weight, chosen) for weight in whole for chosen in choices][:MOST_COPIES])


def _heads(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    return _strips(inputs, sizes, density, copies, sizes.rows // sizes.heads)


def _blocks(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    return _strips(inputs, sizes, density, copies, BLOCK)


def _neurons(inputs: Any, sizes: Sizes, density: float, copies: int) -> Work:
    return _strips(inputs, sizes, density, copies, 1)


KERNELS: dict[str, Callable[[Any, Sizes, float, int], Work]] = {
    "2:4": _semi_structured,
    "csr": _csr,
    "bsr": _bsr,
    "block": _blocks,
    "heads": _heads,
    "neurons": _neurons,
}
