"""The ledgers of one model, each built once."""

from typing import Any, Self

from sparsecalc.core.arrays import is_array
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import ModelSpec


def work_key(work: Workload) -> tuple[Any, ...]:
    """What tells workloads apart, those of arrays by their numbers."""
    return tuple((value.shape, value.tobytes()) if is_array(value) else value for value in vars(work).values())


MOST_KEPT = 64
"""Ledgers of arrays that are kept: each is as large as its arrays."""


class Ledgers:
    """A spec that keeps the ledger of every workload that it was asked for."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._built: dict[Workload, Ledger] = {}
        self._of_many: dict[tuple[Any, ...], Ledger] = {}
        self.kept: dict[tuple[Any, ...], Any] | None = None
        """What a search keeps of the model from accelerator to accelerator; None: nothing."""

    @classmethod
    def of(cls, model: "ModelSpec | Self") -> "Ledgers":
        """`model` itself where it keeps its ledgers, else its spec with none built yet."""
        return cls(model) if isinstance(model, ModelSpec) else model

    def ops(self, work: Workload) -> Ledger:
        """The ledger of one step, or of arrays of sizes."""
        try:
            known = self._built.get(work)
        except TypeError:  # arrays have no hash
            return self._of_arrays(work)
        if known is None:
            known = self._built[work] = self.spec.ops(work)
        return known

    def _of_arrays(self, work: Workload) -> Ledger:
        """The same, known by the arrays' own numbers."""
        key = work_key(work)
        known = self._of_many.get(key)
        if known is None:
            if len(self._of_many) >= MOST_KEPT:
                self._of_many.clear()
            known = self._of_many[key] = self.spec.ops(work)
        return known


Model = ModelSpec | Ledgers
"""What a formula counts: a spec, or a spec that keeps its ledgers."""
