"""What the time model predicts for a step and for its parts, as they are timed."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.step import step_time, total
from sparsecalc.estimate.timing import KernelTime
from sparsecalc.measure.timing.layer_kinds import SampledKind, StepPart
from sparsecalc.model.spec import ModelSpec


class PredictedSeconds(NamedTuple):
    """Seconds and the ends of their 80 % band."""

    seconds: float
    low: float
    high: float


class PredictedStep:
    """Kernels of one step of a whole model with their times, divided among the parts of the step."""

    def __init__(
        self, spec: ModelSpec, kinds: Iterable[SampledKind], work: Workload, precision: Precision, device: DeviceModel
    ) -> None:
        self.times = step_time(spec, work, precision, device).times
        self.engine_spread, self.spread_factor = device.engine.spread, device.engine.spread_factor(spec.kind)
        self.layers: dict[str, int] = {"": 1}
        """Layers of each group of the ledger; all layers of a group have an equal share of its kernels."""
        for kind in kinds:
            self.layers[kind.group] = self.layers.get(kind.group, 0) + kind.count

    def seconds(self, parts: Mapping[StepPart, float]) -> PredictedSeconds | None:
        """Predicted seconds of `parts`, times the number of each; None where no kernel belongs to them."""
        chosen = [_scaled(time, share) for time in self.times if (share := self._share(time, parts))]
        if not chosen:
            return None
        step = total(chosen, self.engine_spread, self.spread_factor)
        return PredictedSeconds(float(step.seconds), float(step.seconds_low), float(step.seconds_high))

    def _share(self, time: KernelTime, parts: Mapping[StepPart, float]) -> float:
        """The layers among `parts` that run this kernel, over all layers that its time covers."""
        group, component = time.kernel.group, time.kernel.component
        layers = sum(
            number
            for part, number in parts.items()
            if (part.kind.group if part.kind else "") == group and part.component in (None, component)
        )
        return layers / self.layers.get(group, 1)


def _scaled(time: KernelTime, share: float) -> KernelTime:
    parts: Any = {bound: seconds * share for bound, seconds in time.parts.items()}
    return KernelTime(time.kernel, time.seconds * share, time.spread, parts)
