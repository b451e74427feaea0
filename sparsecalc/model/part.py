"""What every part of a layer has in common."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload


class Part(BaseModel):
    """A piece of a layer: immutable fields, and the ops of one layer for one step."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def ops(self, work: Workload) -> Iterator[Op]:
        """Ops of one such part for one step."""
        raise NotImplementedError
