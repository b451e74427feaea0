"""The document of `routing`."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class TimeRow(Frozen):
    """Seconds of all layers' experts in a decode step of `batch_size` tokens, on the busiest of `ep` ranks."""

    batch_size: int
    ep: int
    uniform_seconds: float
    seconds: float
    balanced_seconds: float
    """With EPLB and the redundant experts that were asked for."""


class DistinctRow(Frozen):
    """Experts that a step of `batch_size` tokens reaches, and the share of the routed weights that it reads."""

    batch_size: int
    uniform: float
    expected: float
    uniform_share: float
    share: float


class RankRow(Frozen):
    """The busiest of `ep` ranks; imbalance is its token-expert pairs over the mean of all ranks."""

    batch_size: int
    ep: int
    mean_pairs: float
    uniform_imbalance: float
    imbalance: float
    balanced_imbalance: float
    """With EPLB and the redundant experts that were asked for."""
    distinct: float
    """Experts of the rank that reads the most."""
    balanced_distinct: float


class DropRow(Frozen):
    """Share of token-expert pairs beyond the capacity of their expert."""

    batch_size: int
    capacity_factor: float
    capacity: int
    uniform: float
    drop_rate: float


class SimulatedRow(Frozen):
    """A closed form beside its Monte Carlo estimate."""

    figure: str
    batch_size: int
    ep: int | None
    formula: float
    simulated: float
    standard_error: float
    """Of the simulated figure."""
    relative_error: float


class RoutingReport(Document):
    """What routing does to one model."""

    model: str
    routing: str
    layers: int
    num_experts: int
    num_experts_per_tok: int
    zero_experts: int
    replicas: int
    distinct: list[DistinctRow]
    ranks: list[RankRow]
    drops: list[DropRow]
    times: list[TimeRow]
    """Seconds of the experts on an accelerator, where one was named."""
    loads: list[list[float]]
    """Load of each expert over the mean; a row per measured layer, else one."""
    simulated: list[SimulatedRow]
    text: list[str]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every row of every table, with the table's name: what CSV holds."""
        tables = ("distinct", "ranks", "drops", "times", "simulated")
        return [{"table": table, **row.to_dict()} for table in tables for row in getattr(self, table)]
