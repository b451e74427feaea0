"""What a checkpoint holds beside its text decoder: stored, and never read by a step on text."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


class StoredPart(Part):
    """Weights of a vision or audio tower, a projector or a prediction layer.

    stored = matrices * rows * cols + vectors elements; a step on text reads, uses and computes none of it.
    """

    kind: Literal["stored"] = "stored"
    name: str
    matrices: int = 0
    rows: int = 0
    cols: int = 0
    vectors: int = 0

    def ops(self, work: Workload) -> Iterator[Op]:
        yield Op(
            name=self.name,
            component="other",
            kind="vector",
            rows=self.rows,
            cols=self.cols,
            matrices=self.matrices,
            vectors=self.vectors,
            num_experts_per_tok=0,
            read_share=0,
        )

    @property
    def params(self) -> int:
        """matrices * rows * cols + vectors."""
        return self.matrices * self.rows * self.cols + self.vectors
