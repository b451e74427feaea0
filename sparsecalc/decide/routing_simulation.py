"""Monte Carlo against the closed forms of routing: the same distribution, drawn token by token."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.routing import Routing, expert_capacity
from sparsecalc.core.systematic_sampling import sampled_experts
from sparsecalc.documents.routing import RoutingReport, SimulatedRow

LARGEST_BATCH = 65_536
TOKENS = 40_000
"""Tokens that are drawn for each batch size, at least."""
FEWEST_STEPS, MOST_STEPS = 25, 2000
CHUNK_ELEMENTS = 2**22


def simulate(report: RoutingReport, routing: Routing, expected_experts_per_tok: float, seed: int) -> list[SimulatedRow]:
    """Every closed form of the report beside its mean over random steps.

    Each token draws its experts with exactly their inclusion probabilities, none twice. A step is drawn for one layer
    after the other; ranks hold experts as the closed forms place them. Raises InputError for batches over 65,536.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows = []
    for row in report.distinct:
        if row.batch_size > LARGEST_BATCH:
            raise InputError(f"--simulate draws at most {LARGEST_BATCH:,} tokens", hint="Take a smaller batch size")
        samples = _samples(report, routing, expected_experts_per_tok, row.batch_size, random)
        for (figure, ep), (formula, values) in samples.items():
            mean = float(np.mean(values))
            rows.append(
                SimulatedRow(
                    figure=figure,
                    batch_size=row.batch_size,
                    ep=ep,
                    formula=formula,
                    simulated=mean,
                    standard_error=float(np.std(values) / len(values) ** 0.5),
                    relative_error=formula / mean - 1 if mean else 0.0,
                )
            )
    return rows


def _samples(
    report: RoutingReport, routing: Routing, expected_experts_per_tok: float, batch: int, random: Any
) -> dict[tuple[str, int | None], tuple[float, list[float]]]:
    """Of each figure: what the formula says, and what the random steps give."""
    experts, layers = report.num_experts, routing.by_layer(report.num_experts, expected_experts_per_tok)
    figures: dict[tuple[str, int | None], tuple[float, list[float]]] = {
        ("distinct experts", None): (next(r.expected for r in report.distinct if r.batch_size == batch), [])
    }
    rows = [row for row in report.ranks if row.batch_size == batch and row.ep > 1]
    for row in rows:
        figures["imbalance", row.ep] = row.imbalance, []
        figures["distinct experts, busiest rank", row.ep] = row.distinct, []
    drops = [row for row in report.drops if row.batch_size == batch]
    for drop in drops:
        figures[f"drop rate at {drop.capacity_factor:g}", None] = drop.drop_rate, []
    steps = min(MOST_STEPS, max(FEWEST_STEPS, TOKENS // batch))
    for step in range(-(-steps // len(layers)) * len(layers)):
        probabilities = layers[step % len(layers)]
        counts = _counts(probabilities, batch, random)
        figures["distinct experts", None][1].append(float((counts > 0).sum()))
        for row in rows:
            placed = [_membership(arrangement, experts) for arrangement in routing.placements(probabilities, row.ep)]
            loads = [(counts @ held).max() * row.ep / (batch * expected_experts_per_tok) for held in placed]
            reached = [((counts > 0) @ held).max() for held in placed]
            figures["imbalance", row.ep][1].append(float(sum(loads) / len(placed)))
            figures["distinct experts, busiest rank", row.ep][1].append(float(sum(reached) / len(placed)))
        for drop in drops:
            capacity = expert_capacity(experts, expected_experts_per_tok, batch, drop.capacity_factor)
            over = float((counts - capacity).clip(min=0).sum()) / (batch * expected_experts_per_tok)
            figures[f"drop rate at {drop.capacity_factor:g}", None][1].append(over)
    return figures


def _counts(probabilities: tuple[float, ...], tokens: int, random: Any) -> Any:
    """Tokens that each expert gets in one random step."""
    import numpy as np

    counts = np.zeros(len(probabilities), dtype=np.int64)
    chunk = max(1, CHUNK_ELEMENTS // len(probabilities))
    for first in range(0, tokens, chunk):
        selected = sampled_experts(probabilities, min(chunk, tokens - first), random)
        counts += np.bincount(selected, minlength=len(probabilities))
    return counts


def _membership(arrangement: Any, experts: int) -> Any:
    """1 where the rank (column) holds the expert (row)."""
    import numpy as np

    held = np.zeros((experts, len(arrangement)), dtype=np.int64)
    for rank, slots in enumerate(arrangement):
        held[[e for e, _ in slots], rank] = 1
    return held
