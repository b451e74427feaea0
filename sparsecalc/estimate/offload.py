"""Weights that lie in host memory: what a step waits for, over the link or computed on the CPU."""

from collections.abc import Sequence

from sparsecalc.core.arrays import Number
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.places import Shares
from sparsecalc.estimate.timing import KernelTime
from sparsecalc.model.ledgers import Ledgers

HOST = -1
"""In place of a card: host memory."""


def resident_share(plan: Placement, op: Op, card: int | None = None) -> float:
    """Share of an op's weights that lies on the devices; on one of them where llama.cpp tells them apart (`card`)."""
    if plan.places:
        return _on_cards(plan.places.of(op), card)
    if plan.offload == "experts" and op.kind == "experts":
        return 1 - whole_experts(plan, op) / op.num_experts
    if plan.offload == "layers" and op.group:
        return 1 - plan.offload_share
    return 1.0


def resident_cache_share(plan: Placement, op: Op, card: int | None = None) -> float:
    """Share of an op's cache and state that lies on the devices, or on one of them: where the layer does."""
    return _on_cards(plan.places.of_cache(op), card) if plan.places else 1.0


def _on_cards(shares: Shares, card: int | None) -> float:
    return min(1.0, sum(shares[1:])) if card is None else shares[1 + card]


def host_share(plan: Placement, op: Op) -> float:
    """Share of an op's weights that lies in host memory; of a tied table a copy may lie on a device as well."""
    return plan.places.of(op)[0] if plan.places else 1 - resident_share(plan, op)


def host_bytes(model: Ledgers, precision: Precision, plan: Placement) -> int:
    """Bytes of weights that lie in host memory, of all devices together."""
    if plan.offload == "none" and not plan.places:
        return 0
    rows = model.ops(Workload())
    return round(rows.sum(lambda op: precision.weight_bytes(op) * host_share(plan, op)))


def whole_experts(plan: Placement, op: Op) -> int:
    """Experts of a layer that lie in host memory: the least used ones."""
    return round(plan.offload_share * op.num_experts)


def offload_times(
    rows: Ledger, works: Sequence[Workload], precision: Precision, plan: Placement, device: DeviceModel
) -> list[KernelTime]:
    """What a step spends on weights that are sent when they are needed; it waits for each, nothing overlaps.

    bytes needed / link; experts: of the least used ones, those that the step reaches, sum over them of
    1 - (1 - p) ** independent tokens
    """
    if plan.offload == "none" or not plan.offload_share:
        return []
    routing = works[0].routing
    tokens = routing.independent_tokens(sum(work.tokens for work in works), sum(work.batch_size for work in works))
    times = []
    for op in rows:
        needed = _bytes_needed(op, tokens, routing, precision, plan)
        if needed is None:
            continue
        seconds = needed / (device.host_bytes_per_second * plan.num_gpus) * op.layers
        kernel = Kernel(name=f"{op.name} in host memory", component=op.component, family="vector", group=op.group)
        times.append(KernelTime(kernel, seconds, engine_default("host_spread"), {"host": seconds}))
    return times


def _bytes_needed(op: Op, tokens: Number, routing: Routing, precision: Precision, plan: Placement) -> Number:
    """Bytes of host weights that a step needs in one layer; None where the op has none there."""
    if plan.offload == "layers":
        return precision.read_weight_bytes(op) * plan.offload_share if op.group and op.matrices else None
    offloaded = whole_experts(plan, op) if op.kind == "experts" and op.num_experts_per_tok else 0
    if not offloaded:
        return None
    chances = sorted(routing.inclusion(op.num_experts, op.expected_experts_per_tok))[:offloaded]
    reached = sum(1 - (1 - chance) ** tokens for chance in chances)
    return precision.used_weight_bytes(op) / op.num_experts * reached
