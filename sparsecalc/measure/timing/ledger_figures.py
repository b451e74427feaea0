"""What the ledger says of the very thing that was measured: FLOPs, bytes that move, memory, and predicted seconds."""

from collections.abc import Callable, Iterable
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.step import step_time, total
from sparsecalc.estimate.timing import KernelTime
from sparsecalc.measure.architecture.component_marks import Key
from sparsecalc.measure.architecture.layer_slice import Kind
from sparsecalc.model.spec import ModelSpec

OUTSIDE = ""
"""The kind of what stands outside the layers."""


class Rows(Frozen):
    """Ops of one step by kind of layer: of one layer each, and of what stands outside the layers."""

    by_kind: dict[str, tuple[Op, ...]]

    def of(self, kind: str, component: str) -> tuple[Op, ...]:
        """Ops of one component of one layer; all of them for `layer` and `rest`."""
        rows = self.by_kind[kind]
        return rows if component in ("layer", "rest") else tuple(op for op in rows if op.component == component)

    def added(self, layers: dict[str, int]) -> list[tuple[Op, int]]:
        """Ops with how often they run, for so many layers of each kind."""
        return [(op, op.layers * layers.get(kind, 1)) for kind, rows in self.by_kind.items() for op in rows]


def rows_of(spec: ModelSpec, kinds: Iterable[Kind], work: Workload) -> Rows:
    """The ops of one step."""
    outside = [*spec.tables, *spec.final, *([spec.head] if spec.head else [])]
    by_kind = {kind.label: tuple(kind.layer.ops(work)) for kind in kinds}
    return Rows(by_kind={OUTSIDE: tuple(op for part in outside for op in part.ops(work)), **by_kind})


def moved_bytes(op: Op, precision: Precision, touched: float) -> float:
    """Bytes of weights, cache, state and activations; routed experts' weights times `touched` over the expected."""
    weights = precision.read_weight_bytes(op) * (touched if op.kind == "experts" else 1)
    cache = op.cache_read_elements * precision.kv_cache.bits_per_weight / 8
    state = op.state_elements * precision.state_element_bytes(op)
    return weights + cache + state + op.activation_elements * precision.activations.bits / 8


def held_bytes(rows: Rows, layers: dict[str, int], precision: Precision, work: Workload, hidden_size: int) -> int:
    """Peak memory of the step that was run: weights + cache + state + the larger of a layer's results and the logits.

    A layer's results: the residual twice, and all inputs and outputs of its largest component, which transformers'
    modules hold until they return; experts' results twice more, weighted and put back in order.
    """
    added = rows.added(layers)
    weights = sum(times * precision.weight_bytes(op) for op, times in added)
    cache = sum(times * precision.kv_cache_bytes(op.kv_elements + op.index_elements) for op, times in added)
    state = sum(times * op.state_elements * precision.state_element_bytes(op) for op, times in added)
    return int(weights + cache + state + working_bytes(rows, precision, work, hidden_size))


def working_bytes(rows: Rows, precision: Precision, work: Workload, hidden_size: int) -> float:
    """What a step holds beside weights, cache and state."""
    live: dict[tuple[str, str], float] = {}
    for kind, ops in rows.by_kind.items():
        for op in ops:
            held = op.scratch_elements if op.component == "lm_head" else op.activation_elements
            held += 2 * op.scratch_elements if op.kind == "experts" and op.rows == hidden_size else 0
            live[kind, op.component] = live.get((kind, op.component), 0) + held
    logits = max((live.pop(key) for key in list(live) if key[1] == "lm_head"), default=0)
    layer = 2 * work.tokens * hidden_size + max(live.values(), default=0)
    return max(layer, logits) * precision.activations.bits / 8


def predicted(
    spec: ModelSpec, kinds: Iterable[Kind], work: Workload, precision: Precision, device: DeviceModel | None
) -> Callable[[dict[Key, float]], tuple[float, float, float] | None]:
    """A function from keys (kind, component) with numbers of layers to predicted seconds, low and high.

    None where the device is not known, or where no kernel belongs to what is asked.
    """
    if device is None:
        return lambda wanted: None
    step = step_time(spec, work, precision, device)
    counts: dict[str, int] = {OUTSIDE: 1}
    for kind in kinds:
        counts[kind.layer.label] = counts.get(kind.layer.label, 0) + kind.count

    def seconds(wanted: dict[Key, float]) -> tuple[float, float, float] | None:
        chosen = [_scaled(time, share) for time in step.times if (share := _share(time, wanted, counts))]
        if not chosen:
            return None
        part = total(chosen, device.engine.spread)
        return float(part.seconds), float(part.seconds_low), float(part.seconds_high)

    return seconds


def _share(time: KernelTime, wanted: dict[Key, float], counts: dict[str, int]) -> float:
    """The wanted layers of this kernel, of all layers that it stands for."""
    group = time.kernel.group
    layers = 0.0
    for (kind, component), number in wanted.items():
        if kind.partition(" #")[0] == group and component in ("layer", "rest", time.kernel.component):
            layers += number
    return layers / counts.get(group, 1)


def _scaled(time: KernelTime, share: float) -> KernelTime:
    parts: Any = {bound: seconds * share for bound, seconds in time.parts.items()}
    return KernelTime(time.kernel, time.seconds * share, time.spread, parts)
