"""What the ledger says about the layers that were run: FLOPs, bytes that move, memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sparsecalc.core.ops import Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.measure.timing.layer_kinds import SampledKind, StepPart
from sparsecalc.model.spec import ModelSpec


@dataclass(frozen=True)
class StepOps:
    """Ops of one step: of one layer of each kind, and of what stands outside the layers."""

    outside: tuple[Op, ...]
    by_kind: dict[SampledKind, tuple[Op, ...]]

    def of(self, part: StepPart) -> tuple[Op, ...]:
        """Ops of a part."""
        ops = self.by_kind[part.kind] if part.kind else self.outside
        return ops if part.component is None else tuple(op for op in ops if op.component == part.component)

    def repeated(self, layers: Mapping[SampledKind, int]) -> list[tuple[Op, int]]:
        """All ops with how often each runs, for so many layers of each kind."""
        outside = [(op, op.layers) for op in self.outside]
        return outside + [(op, op.layers * layers[kind]) for kind, ops in self.by_kind.items() for op in ops]


def step_ops(spec: ModelSpec, kinds: Iterable[SampledKind], work: Workload) -> StepOps:
    """The ops of one step."""
    parts = [*spec.tables, *spec.final, *([spec.head] if spec.head else [])]
    outside = tuple(op for part in parts for op in part.ops(work))
    return StepOps(outside, {kind: tuple(kind.layer.ops(work)) for kind in kinds})


def moved_bytes(op: Op, precision: Precision, reached: float = 1.0) -> float:
    """Bytes of weights, cache, state and activations.

    `reached`: distinct experts that the step really went to, over those that the ledger expects.
    """
    weights = precision.read_weight_bytes(op) * (reached if op.kind == "experts" else 1)
    cache = op.cache_read_elements * precision.kv_cache.bits_per_weight / 8
    state = op.state_elements * precision.state_element_bytes(op)
    return weights + cache + state + op.activation_elements * precision.activations.bits / 8


def held_bytes(
    ops: StepOps, layers: Mapping[SampledKind, int], precision: Precision, work: Workload, hidden_size: int
) -> int:
    """Peak memory of the step that was run: weights + cache + state + the larger of a layer's results and the logits.

    A layer's results: the residual twice, and all inputs and outputs of its largest component, which transformers'
    modules hold until they return; experts' results twice more, weighted and put back in order.
    """
    repeated = ops.repeated(layers)
    weights = sum(times * precision.weight_bytes(op) for op, times in repeated)
    cache = sum(times * precision.kv_cache_bytes(op.kv_elements + op.index_elements) for op, times in repeated)
    state = sum(times * op.state_elements * precision.state_element_bytes(op) for op, times in repeated)
    return int(weights + cache + state + working_bytes(ops, precision, work, hidden_size))


def working_bytes(ops: StepOps, precision: Precision, work: Workload, hidden_size: int) -> float:
    """What a step holds beside weights, cache and state."""
    logits, largest = 0.0, 0.0
    for own in (ops.outside, *ops.by_kind.values()):
        held: dict[str, float] = {}
        for op in own:
            elements = op.scratch_elements if op.component == "lm_head" else op.activation_elements
            elements += 2 * op.scratch_elements if op.kind == "experts" and op.rows == hidden_size else 0
            held[op.component] = held.get(op.component, 0) + elements
        logits = max(logits, held.pop("lm_head", 0))
        largest = max(largest, *held.values(), 0)
    return max(2 * work.tokens * hidden_size + largest, logits) * precision.activations.bits / 8
