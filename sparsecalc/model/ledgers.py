"""The ledgers of one model, each built once."""

from typing import Self

from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec


class Ledgers:
    """A spec that keeps the ledger of every workload that it was asked for."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._built: dict[Workload, Ledger] = {}

    @classmethod
    def of(cls, model: "ModelSpec | Self") -> "Ledgers":
        """`model` itself where it keeps its ledgers, else its spec with none built yet."""
        return cls(model) if isinstance(model, ModelSpec) else model

    def ops(self, work: Workload) -> Ledger:
        """The ledger of one step; one of arrays of sizes is built anew each time."""
        try:
            known = self._built.get(work)
        except TypeError:  # arrays have no hash
            return self.spec.ops(work)
        if known is None:
            known = self._built[work] = self.spec.ops(work)
        return known


Model = ModelSpec | Ledgers
"""What a formula counts: a spec, or a spec that keeps its ledgers."""
