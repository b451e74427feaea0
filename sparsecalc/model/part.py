"""What every part of a layer has in common."""

from collections.abc import Iterator

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload


class Part(Frozen):
    """A piece of a layer: immutable fields, and the ops of one layer for one step."""

    def ops(self, work: Workload) -> Iterator[Op]:
        """Ops of one such part for one step."""
        raise NotImplementedError
