"""The document of `routing`."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class TimeRow(Frozen):
    """Seconds of all layers' experts in a decode step, on the busiest rank."""

    batch_size: int
    """Tokens of the step."""
    ep: int
    """Ranks of expert parallelism."""
    uniform_seconds: float
    """Seconds under uniform routing."""
    seconds: float
    """Seconds under the routing that was asked for."""
    balanced_seconds: float
    """The same with EPLB and the redundant experts that were asked for."""


class DistinctRow(Frozen):
    """Distinct experts that a step reaches in one layer."""

    batch_size: int
    """Tokens of the step."""
    uniform: float
    """Expected distinct experts under uniform routing."""
    expected: float
    """Expected distinct experts under the routing that was asked for."""
    uniform_share: float
    """Share of the routed experts' weights that is read under uniform routing, 0 to 1."""
    share: float
    """The same under the routing that was asked for."""


class RankRow(Frozen):
    """The busiest rank of expert parallelism; imbalance is its token-expert pairs over the mean of all ranks."""

    batch_size: int
    """Tokens of the step."""
    ep: int
    """Ranks of expert parallelism."""
    mean_pairs: float
    """Token-expert pairs per rank, on average."""
    uniform_imbalance: float
    """Imbalance under uniform routing."""
    imbalance: float
    """Imbalance under the routing that was asked for."""
    balanced_imbalance: float
    """The same with EPLB and the redundant experts that were asked for."""
    distinct: float
    """Expected distinct experts of the rank that reads the most."""
    balanced_distinct: float
    """The same with EPLB."""


class DropRow(Frozen):
    """Token-expert pairs that are dropped because their expert is full."""

    batch_size: int
    """Tokens of the step."""
    capacity_factor: float
    """Capacity of an expert over its even share of the pairs."""
    capacity: int
    """Tokens that an expert takes."""
    uniform: float
    """Share of dropped pairs under uniform routing, 0 to 1."""
    drop_rate: float
    """Share of dropped pairs under the routing that was asked for, 0 to 1."""


class SimulatedRow(Frozen):
    """A closed form beside its Monte Carlo estimate."""

    figure: str
    """The figure: distinct experts, imbalance, distinct experts of the busiest rank, drop rate."""
    batch_size: int
    """Tokens of the step."""
    ep: int | None
    """Ranks of expert parallelism; None where they do not matter."""
    formula: float
    """The figure by its closed form."""
    simulated: float
    """Mean of the figure over the random steps."""
    standard_error: float
    """Standard error of that mean."""
    relative_error: float
    """(formula - simulated) / simulated."""


class RoutingReport(Document):
    """How the tokens of a step spread over a model's experts, and what follows from it."""

    model: str
    """Id of the model."""
    routing: str
    """Name of the routing that was asked for."""
    layers: int
    """Layers with such experts."""
    num_experts: int
    """Routed experts of a layer."""
    num_experts_per_tok: int
    """Experts that a token selects, zero-compute experts among them."""
    zero_experts: int
    """Experts of a layer that compute nothing."""
    replicas: int
    """Redundant experts that EPLB places."""
    distinct: list[DistinctRow]
    """Distinct experts, for each batch size."""
    ranks: list[RankRow]
    """The busiest rank, for each batch size and number of ranks."""
    drops: list[DropRow]
    """Dropped pairs, for each batch size and capacity factor."""
    times: list[TimeRow]
    """Seconds of the experts, for each batch size and number of ranks; empty without `--gpu`."""
    loads: list[list[float]]
    """Load of each expert over the mean: a list for each measured layer, else a single list."""
    simulated: list[SimulatedRow]
    """Monte Carlo estimates; empty without `--simulate`."""
    text: list[str]
    """Sentences that are computed from the figures."""

    def to_rows(self) -> list[dict[str, Any]]:
        """Every row of every list, with the name of its list."""
        tables: dict[str, list[Any]] = {
            "distinct": self.distinct,
            "ranks": self.ranks,
            "drops": self.drops,
            "times": self.times,
            "simulated": self.simulated,
        }
        return [{"table": table, **row.to_dict()} for table, rows in tables.items() for row in rows]
