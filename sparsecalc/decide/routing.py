"""What routing does to a mixture of experts: experts reached, the busiest rank, dropped tokens."""

from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.routing import Routing, expert_capacity
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.routing_time import time_rows
from sparsecalc.documents.routing import DistinctRow, DropRow, RankRow, RoutingReport, TimeRow
from sparsecalc.library.models import LoadedModel
from sparsecalc.library.routing_files import load_routing
from sparsecalc.model.derived_parts import MeasuredExperts
from sparsecalc.model.feed_forward import Moe

LARGEST_BATCH = 2**30
LARGEST_FACTOR = 1000
MOST_REPLICAS = 4096
USUAL_DEGREES = (1, 8, 32)
"""Degrees of expert parallelism that are shown unless others are asked for, as far as there are experts."""


class Asked(Frozen):
    """Which steps and placements are looked at."""

    batch_sizes: tuple[int, ...] = (1, 8, 64, 512)
    ep: tuple[int, ...] | None = None
    capacity_factors: tuple[float, ...] = (1.0, 1.25)
    replicas: int = 0
    simulate: bool = False
    seed: int = 0
    gpu: str | None = None
    """Accelerator for the effect on time; None: none."""
    engine: str | None = None
    dtype: str | None = None

    def refuse_nonsense(self) -> None:
        """Raises InputError for what is out of range."""
        for name, values, least, most in (
            ("batch size", self.batch_sizes, 1, LARGEST_BATCH),
            ("capacity factor", self.capacity_factors, 0.01, LARGEST_FACTOR),
            ("number of replicas", (self.replicas,), 0, MOST_REPLICAS),
            ("seed", (self.seed,), 0, 2**63),
        ):
            for value in values:
                if not least <= value <= most:
                    raise InputError(f"the {name} is {brief(value)}", hint=f"It must be from {least} to {most}")


def route(name: str, routing: str = "uniform", asked: Asked | None = None) -> RoutingReport:
    """How the tokens of a step spread over the experts of a model, and what follows for one or more ranks.

    Raises InputError for a model without experts, and for a routing or a rank that does not fit it.
    """
    asked = asked or Asked()
    asked.refuse_nonsense()
    variant = load_variant(name, asked.dtype)
    loaded = variant.loaded
    layers, part = _experts(loaded)
    experts, zero = part.num_experts, getattr(part, "zero_experts", 0)
    given = load_routing(routing, experts)
    chosen = part.num_experts_per_tok * experts / (experts + zero)
    degrees = asked.ep or tuple(ranks for ranks in USUAL_DEGREES if ranks <= experts)
    ranks = [_rank(given, experts, chosen, batch, ep, asked.replicas) for batch in asked.batch_sizes for ep in degrees]
    distinct = [_distinct(given, experts, chosen, batch) for batch in asked.batch_sizes]
    points = [(batch, ep) for batch in asked.batch_sizes for ep in degrees]
    times = []
    if asked.gpu:
        where = (asked.gpu, asked.engine)
        times = time_rows(loaded.spec, variant.precision, *where, given, points, asked.replicas)
    found = RoutingReport(
        command="routing",
        inputs={
            "model": printable(name, 1000),
            "routing": given.name,
            "kind": given.kind,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in vars(asked).items()},
            "ep": list(degrees),
        },
        warnings=_warnings(loaded, given),
        model=loaded.spec.id,
        routing=given.name,
        layers=layers,
        num_experts=experts,
        num_experts_per_tok=part.num_experts_per_tok,
        zero_experts=zero,
        replicas=asked.replicas,
        distinct=distinct,
        ranks=ranks,
        drops=[
            _drop(given, experts, chosen, batch, factor)
            for batch in asked.batch_sizes
            for factor in asked.capacity_factors
        ],
        times=times,
        loads=[[p * experts / chosen for p in row] for row in given.by_layer(experts, chosen)],
        simulated=[],
        text=[*_conclusion(given, experts, distinct, ranks, asked.replicas), *_in_time(given, times)],
    )
    if not asked.simulate:
        return found
    from sparsecalc.decide.routing_simulation import simulate

    return found.but(simulated=simulate(found, given, chosen, asked.seed))


def _experts(loaded: LoadedModel) -> tuple[int, Moe | MeasuredExperts]:
    """Layers with experts, and the first kind of them."""
    found = [
        (group.count, part)
        for group in loaded.spec.layer_groups
        for part in group.layer.feed_forwards
        if isinstance(part, Moe | MeasuredExperts)
    ]
    if not found:
        hint = "Models with experts: sparsecalc models, kind moe"
        raise InputError(f"{loaded.spec.id} has no experts to route to", hint=hint)
    alike = [(count, part) for count, part in found if part.num_experts == found[0][1].num_experts]
    return sum(count for count, _ in alike), found[0][1]


def _warnings(loaded: LoadedModel, given: Routing) -> list[Note]:
    notes = loaded.warnings
    if given.correlation < 1:
        text = "correlation changes nothing here: each sequence of a decode step adds one token"
        notes.append(Note(code="correlation", text=text, model=loaded.spec.id))
    return notes


def _distinct(given: Routing, experts: int, chosen: float, batch: int) -> DistinctRow:
    uniform = Routing().expected_distinct(experts, chosen, batch)
    expected = given.expected_distinct(experts, chosen, batch)
    return DistinctRow(
        batch_size=batch,
        uniform=uniform,
        expected=expected,
        uniform_share=uniform / experts,
        share=expected / experts,
    )


def _rank(given: Routing, experts: int, chosen: float, batch: int, ep: int, replicas: int) -> RankRow:
    plain = given.busiest_rank(experts, chosen, batch, ep)
    balanced = given.busiest_rank(experts, chosen, batch, ep, replicas, balanced=True)
    return RankRow(
        batch_size=batch,
        ep=ep,
        mean_pairs=batch * chosen / ep,
        uniform_imbalance=Routing().busiest_rank(experts, chosen, batch, ep).imbalance,
        imbalance=plain.imbalance,
        balanced_imbalance=balanced.imbalance,
        distinct=plain.distinct,
        balanced_distinct=balanced.distinct,
    )


def _drop(given: Routing, experts: int, chosen: float, batch: int, factor: float) -> DropRow:
    return DropRow(
        batch_size=batch,
        capacity_factor=factor,
        capacity=expert_capacity(experts, chosen, batch, factor),
        uniform=Routing().drop_rate(experts, chosen, batch, factor),
        drop_rate=given.drop_rate(experts, chosen, batch, factor),
    )


def _in_time(given: Routing, times: Sequence[TimeRow]) -> list[str]:
    """Where the routing saves most and costs most time, against uniform routing."""
    if given.kind == "uniform" or not times:
        return []
    ratios = [(row.seconds / row.uniform_seconds, row) for row in times]
    (low, best), (high, worst) = min(ratios, key=lambda pair: pair[0]), max(ratios, key=lambda pair: pair[0])
    found = []
    if low < 1:
        found.append(f"It is quickest at batch {best.batch_size:,} on {best.ep} ranks: {low:.2f}x of uniform routing.")
    if high > 1:
        cured = worst.balanced_seconds / worst.uniform_seconds
        text = f"It is slowest at batch {worst.batch_size:,} on {worst.ep} ranks: {high:.2f}x, with EPLB {cured:.2f}x."
        found.append(text)
    return found


def _conclusion(
    given: Routing, experts: int, distinct: Sequence[DistinctRow], ranks: Sequence[RankRow], replicas: int
) -> list[str]:
    """What the figures say, for the step in which it shows the most."""
    lines = []
    if given.kind != "uniform":
        step = max(distinct, key=lambda row: row.uniform - row.expected)
        lines.append(
            f"At batch {step.batch_size:,} this routing reaches {step.expected:.1f} of {experts} experts, uniform"
            f" routing {step.uniform:.1f}: one device reads {step.expected / step.uniform:.2f}x the experts' weights."
        )
    worst = max(ranks, key=lambda row: (row.ep, row.batch_size))
    if worst.ep > 1:
        copies = (
            f" with {replicas} redundant experts ({replicas / experts:.1%} more of their weights)" if replicas else ""
        )
        beside = "" if given.kind == "uniform" else f" (uniform routing {worst.uniform_imbalance:.2f}x)"
        lines.append(
            f"On {worst.ep} ranks at batch {worst.batch_size:,} the busiest computes {worst.imbalance:.2f}x the mean"
            f"{beside}; EPLB{copies} leaves {worst.balanced_imbalance:.2f}x."
        )
    return lines
