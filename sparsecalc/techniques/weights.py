"""Sparse weights: N:M, unstructured and block sparsity of the matrices of the layers.

Embedding, LM head, routers, norms and convolutions stay dense, as pruners leave them (Wanda, arXiv:2306.11695).
`params` keeps counting the dense matrices; bytes are those of the stored layout.
"""

import re
from dataclasses import replace
from typing import Self

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.storage import BlockStorage, GroupStorage, ScatteredStorage, Storage
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec
from sparsecalc.techniques.base import Technique, count, scaled, sparsity

KEPT_DENSE = ("embedding", "lm_head", "router", "norm")

SMALLEST_COMPUTED_BLOCK = 16
"""Side of a block below which a kernel multiplies the zeros too: a tile of the tensor cores (torch's BSR kernel)."""


class WeightSparsity(Technique):
    """A technique that changes how the matrices of the layers are stored."""

    family = "sparse weights"

    @property
    def storage(self) -> Storage | None:
        """The layout; None where nothing is left out."""
        raise NotImplementedError

    @property
    def compute_share(self) -> float:
        """Share of the dense products that a kernel for this layout computes."""
        raise NotImplementedError

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with sparse matrices; the same one where nothing is left out."""
        return super().apply(spec) if self.storage else spec

    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        """Storage, and FLOPs times `compute_share`, of every matrix that pruners prune."""
        return Ledger(self._sparse(op) if _is_pruned(op) else op for op in rows)

    def _sparse(self, op: Op) -> Op:
        return replace(
            op,
            storage=self.storage,
            technique=self.text,
            flops=scaled(op.flops, self.compute_share),
            compute_share=op.compute_share * self.compute_share,
        )


def _is_pruned(op: Op) -> bool:
    return bool(op.matrices) and op.kind in ("matmul", "experts") and op.component not in KEPT_DENSE


class Unstructured(WeightSparsity):
    """`unstructured=0.7`: 70 % of the elements, at any place, are zero.

    Bytes: the smallest layout of core/storage.py. FLOPs: all of the dense product, since kernels that win on tensor
    cores load sparse and compute dense (Flash-LLM, arXiv:2309.10285; SpInfer, doi 10.1145/3689031.3717481).
    """

    name = "unstructured"
    varied = "unstructured="
    sparsity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.7`."""
        return cls(sparsity=sparsity(cls.name, value))

    @property
    def storage(self) -> Storage | None:
        """Scattered non-zeros."""
        return ScatteredStorage(density=1 - self.sparsity) if self.sparsity else None

    @property
    def compute_share(self) -> float:
        """1."""
        return 1.0


class SemiStructured(WeightSparsity):
    """`2:4`, `4:8`, `6:8`: of M neighbours in a row N are kept.

    FLOPs: tensor cores skip half where 2 of any 4 are kept (1:4, 2:4, 2:8); (M-2) of M, M even, becomes overlapping
    2:4 windows of the same number of values (SlideSparse, arXiv:2603.05232), so N <= M - 2 computes (M-2)/M; a denser
    pattern computes all.
    """

    name = "N:M"
    kept: int
    of: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`2:4`."""
        kept, of = (int(part) for part in value.split(":"))
        if not 0 < kept <= of:
            raise InputError(f"{value} cannot keep {kept} of {of}", hint="N:M keeps N of M neighbours: +2:4")
        if of > 256:
            raise InputError(f"{value} has groups of {of}", hint="At most 256: +2:4")
        return cls(kept=kept, of=of)

    @property
    def text(self) -> str:
        """`2:4`."""
        return f"{self.kept}:{self.of}"

    @property
    def storage(self) -> Storage | None:
        """Kept values and their places."""
        return GroupStorage(kept=self.kept, of=self.of) if self.kept < self.of else None

    @property
    def compute_share(self) -> float:
        """1/2, (M-2)/M or 1."""
        if self.kept <= 2 and self.of % 4 == 0:
            return 0.5
        return (self.of - 2) / self.of if self.of % 2 == 0 and self.kept <= self.of - 2 else 1.0


class Blocks(WeightSparsity):
    """`block=16x16@0.9`: 90 % of the blocks of 16 x 16 are zero.

    FLOPs: times the density where the block's smaller side is at least SMALLEST_COMPUTED_BLOCK, else all.
    """

    name = "block"
    varied = r"block=\d+x\d+@"
    block_rows: int
    block_cols: int
    sparsity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`16x16@0.9`."""
        shape, at, share = value.partition("@")
        sides = shape.split("x")
        if not at or len(sides) != 2:
            text = f"{cls.name}: its value is {brief(value)}" if value else f"{cls.name}: its value is missing"
            raise InputError(text, hint="Rows x columns of a block, @, sparsity: +block=16x16@0.9")
        rows, cols = (count(cls.name, side, "16x16@0.9") for side in sides)
        return cls(block_rows=rows, block_cols=cols, sparsity=sparsity(cls.name, share))

    @property
    def text(self) -> str:
        """`block=16x16@0.9`."""
        return f"{self.name}={self.block_rows}x{self.block_cols}@{self.sparsity:g}"

    @property
    def storage(self) -> Storage | None:
        """Block-sparse rows."""
        density = 1 - self.sparsity
        return (
            BlockStorage(block_rows=self.block_rows, block_cols=self.block_cols, density=density)
            if self.sparsity
            else None
        )

    @property
    def compute_share(self) -> float:
        """The density, or 1."""
        return 1 - self.sparsity if min(self.block_rows, self.block_cols) >= SMALLEST_COMPUTED_BLOCK else 1.0


PATTERN = re.compile(r"\d{1,9}:\d{1,9}")
"""What an N:M technique looks like."""
