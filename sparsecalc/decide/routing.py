"""What routing does to a mixture of experts: experts reached, the busiest rank, dropped tokens."""

from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.expert_shares import expected_experts_per_tok
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.routing import RankLoad, Routing, expert_capacity
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.routing_time import time_rows
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.routing import DistinctRow, DropRow, RankRow, RoutingReport, TimeRow
from sparsecalc.library.models import LoadedModel
from sparsecalc.library.routing_files import load_routing
from sparsecalc.model.part import HasExperts
from sparsecalc.model.spec import ModelSpec

LARGEST_BATCH = 2**30
LARGEST_FACTOR = 1000
MOST_REPLICAS = 4096
USUAL_DEGREES = (1, 8, 32)
"""Degrees of expert parallelism that are shown unless others are asked for, as far as there are experts."""


class RoutingQuestion(Frozen):
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

    def check_ranges(self) -> None:
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


class RoutedLayerExperts(Frozen):
    """The experts of one layer, how many of them a token is expected to select, and by which routing."""

    num_experts: int
    expected_experts_per_tok: float
    routing: Routing

    def under(self, routing: Routing) -> "RoutedLayerExperts":
        """The same experts under another routing."""
        return self.but(routing=routing)

    def distinct(self, tokens: int) -> float:
        """Expected distinct experts of a step."""
        return float(self.routing.expected_distinct(self.num_experts, self.expected_experts_per_tok, tokens))

    def busiest_rank(self, tokens: int, ep: int, replicas: int | None = None) -> RankLoad:
        """The busiest of `ep` ranks; balanced by EPLB where `replicas` are given."""
        counts = (self.num_experts, self.expected_experts_per_tok, tokens, ep)
        return self.routing.busiest_rank(*counts, replicas or 0, balanced=replicas is not None)

    def drop_rate(self, tokens: int, capacity_factor: float) -> float:
        """Expected share of token-expert pairs beyond the capacity."""
        return self.routing.drop_rate(self.num_experts, self.expected_experts_per_tok, tokens, capacity_factor)

    @property
    def relative_loads(self) -> list[list[float]]:
        """Load of each expert over the mean, a row per measured layer."""
        rows = self.routing.by_layer(self.num_experts, self.expected_experts_per_tok)
        return [[p * self.num_experts / self.expected_experts_per_tok for p in row] for row in rows]


def route(name: str, routing: str = "uniform", question: RoutingQuestion | None = None) -> RoutingReport:
    """How the tokens of a step spread over the experts of a model, and what follows for one or more ranks.

    Raises InputError for a model without experts, and for a routing or a rank that does not fit it.
    """
    asked = question or RoutingQuestion()
    asked.check_ranges()
    variant = load_variant(name, asked.dtype)
    layers, mixture = _mixture(variant.loaded.spec)
    given = load_routing(routing, mixture.num_experts)
    zero, k = mixture.zero_experts, mixture.num_experts_per_tok
    expected = expected_experts_per_tok(k, mixture.num_experts, zero)
    experts = RoutedLayerExperts(num_experts=mixture.num_experts, expected_experts_per_tok=expected, routing=given)
    degrees = asked.ep or tuple(ranks for ranks in USUAL_DEGREES if ranks <= mixture.num_experts)
    points = [(batch, ep) for batch in asked.batch_sizes for ep in degrees]
    report = RoutingReport(
        command="routing",
        inputs=_inputs(name, given, asked, degrees),
        warnings=_warnings(variant.loaded, given),
        model=variant.loaded.spec.id,
        routing=given.name,
        layers=layers,
        num_experts=mixture.num_experts,
        num_experts_per_tok=k,
        zero_experts=zero,
        replicas=asked.replicas,
        distinct=[_distinct(experts, batch) for batch in asked.batch_sizes],
        ranks=[_rank(experts, batch, ep, asked.replicas) for batch, ep in points],
        drops=[_drop(experts, batch, factor) for batch in asked.batch_sizes for factor in asked.capacity_factors],
        times=_times(variant, given, points, asked),
        loads=experts.relative_loads,
        simulated=[],
        text=[],
    )
    report = report.but(text=[*_conclusion(given, report), *_in_time(given, report.times)])
    if not asked.simulate:
        return report
    from sparsecalc.decide.routing_simulation import simulate

    return report.but(simulated=simulate(report, given, expected, asked.seed))


def _inputs(name: str, given: Routing, asked: RoutingQuestion, degrees: tuple[int, ...]) -> dict[str, object]:
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(asked).items()}
    chosen = {"model": printable(name, 1000), "routing": given.name, "kind": given.kind}
    return {**chosen, **options, "ep": list(degrees)}


def _times(
    variant: Variant, given: Routing, points: Sequence[tuple[int, int]], asked: RoutingQuestion
) -> list[TimeRow]:
    if not asked.gpu:
        return []
    device = device_model(load_accelerator(asked.gpu), asked.engine)
    return time_rows(variant.model, variant.precision, device, given, points, asked.replicas)


def _mixture(spec: ModelSpec) -> tuple[int, HasExperts]:
    """Layers with experts, and the first kind of them."""
    if not spec.mixtures:
        raise InputError(
            f"{spec.id} has no experts to route to", hint="Models with experts: sparsecalc models, kind moe"
        )
    first = spec.mixtures[0][1]
    return sum(count for count, part in spec.mixtures if part.num_experts == first.num_experts), first


def _warnings(loaded: LoadedModel, given: Routing) -> list[Note]:
    notes = loaded.warnings
    if given.correlation < 1:
        text = "correlation changes nothing here: each sequence of a decode step adds one token"
        notes.append(Note(code="correlation", text=text, model=loaded.spec.id))
    return notes


def _distinct(experts: RoutedLayerExperts, batch: int) -> DistinctRow:
    uniform, expected = experts.under(Routing()).distinct(batch), experts.distinct(batch)
    return DistinctRow(
        batch_size=batch,
        uniform=uniform,
        expected=expected,
        uniform_share=uniform / experts.num_experts,
        share=expected / experts.num_experts,
    )


def _rank(experts: RoutedLayerExperts, batch: int, ep: int, replicas: int) -> RankRow:
    plain, balanced = experts.busiest_rank(batch, ep), experts.busiest_rank(batch, ep, replicas)
    return RankRow(
        batch_size=batch,
        ep=ep,
        mean_pairs=batch * experts.expected_experts_per_tok / ep,
        uniform_imbalance=experts.under(Routing()).busiest_rank(batch, ep).imbalance,
        imbalance=plain.imbalance,
        balanced_imbalance=balanced.imbalance,
        distinct=plain.distinct,
        balanced_distinct=balanced.distinct,
    )


def _drop(experts: RoutedLayerExperts, batch: int, factor: float) -> DropRow:
    return DropRow(
        batch_size=batch,
        capacity_factor=factor,
        capacity=expert_capacity(experts.num_experts, experts.expected_experts_per_tok, batch, factor),
        uniform=experts.under(Routing()).drop_rate(batch, factor),
        drop_rate=experts.drop_rate(batch, factor),
    )


def _in_time(given: Routing, times: Sequence[TimeRow]) -> list[str]:
    """Where the routing saves most and costs most time, against uniform routing."""
    if given.kind == "uniform" or not times:
        return []
    ratios = [(row.seconds / row.uniform_seconds, row) for row in times]
    (low, best), (high, worst) = min(ratios, key=lambda pair: pair[0]), max(ratios, key=lambda pair: pair[0])
    sentences = []
    if low < 1:
        sentences.append(
            f"It is quickest at batch {best.batch_size:,} on {best.ep} ranks: {low:.2f}x of uniform routing."
        )
    if high > 1:
        cured = worst.balanced_seconds / worst.uniform_seconds
        text = f"It is slowest at batch {worst.batch_size:,} on {worst.ep} ranks: {high:.2f}x, with EPLB {cured:.2f}x."
        sentences.append(text)
    return sentences


def _conclusion(given: Routing, report: RoutingReport) -> list[str]:
    """What the figures say, for the step in which it shows the most."""
    experts, replicas, lines = report.num_experts, report.replicas, []
    if given.kind != "uniform":
        step = max(report.distinct, key=lambda row: row.uniform - row.expected)
        lines.append(
            f"At batch {step.batch_size:,} this routing reaches {step.expected:.1f} of {experts} experts, uniform"
            f" routing {step.uniform:.1f}: one device reads {step.expected / step.uniform:.2f}x the experts' weights."
        )
    worst = max(report.ranks, key=lambda row: (row.ep, row.batch_size))
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
