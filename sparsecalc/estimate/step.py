"""One step of a model on devices: kernels, collectives and the engine's own time, with a band and what binds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from sparsecalc.core.arrays import is_array
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.bands import BAND
from sparsecalc.estimate.costs import engine_default
from sparsecalc.estimate.kernels import ACTIVATION_BYTES, Kernel, Setting, kernels
from sparsecalc.estimate.offload import offload_times
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.timing import KernelTime, kernel_time, transfer_time
from sparsecalc.model.spec import ModelSpec


@dataclass(slots=True)
class Step:
    """Seconds of one step; `times` add up to them."""

    times: list[KernelTime]
    seconds: Any
    spread: Any
    """Standard deviation of ln(measured / predicted)."""

    @property
    def seconds_low(self) -> Any:
        """Lower end of the 80 % band."""
        return self.seconds * _exp(-BAND * self.spread)

    @property
    def seconds_high(self) -> Any:
        """Upper end of the 80 % band."""
        return self.seconds * _exp(BAND * self.spread)

    def by_bound(self) -> dict[str, Any]:
        """Seconds by what they are spent on."""
        sums: dict[str, Any] = {}
        for time in self.times:
            for bound, seconds in time.parts.items():
                sums[bound] = sums.get(bound, 0.0) + seconds
        return sums

    @property
    def bound(self) -> Any:
        """What most of the step is spent on; of many steps an array of names."""
        sums = self.by_bound()
        if is_array(self.seconds):
            import numpy as np

            return np.array(list(sums))[np.argmax(np.broadcast_arrays(*sums.values()), axis=0)]
        return max(sums, key=lambda name: sums[name])

    def by_component(self) -> dict[str, Any]:
        """Seconds by component of the model; `network` and `framework` beside them."""
        sums: dict[str, Any] = {}
        for time in self.times:
            name = "network" if "network" in time.parts else time.kernel.component
            sums[name] = sums.get(name, 0.0) + time.seconds
        return sums


def step_time(
    spec: ModelSpec,
    works: Workload | Sequence[Workload],
    precision: Precision,
    device: DeviceModel,
    placement: Placement | None = None,
) -> Step:
    """Seconds of a step that computes `works` together, on the busiest device.

    sum over kernels + collectives + engine's step_seconds + sequence_seconds * sequences

    The works' batch is that of all devices: each copy of the attention (dp) has its share. With pp stages, a batch
    passes them as pp micro-batches, so `works` is split by pp, and the step is a pass of one of them.
    """
    plan = placement or Placement()
    works = [works] if isinstance(works, Workload) else list(works)
    local = [_share(work, plan.dp * plan.pp) for work in works]
    tokens = sum(work.tokens for work in local)
    setting = Setting(precision, plan, device.peak_flops_per_second, device.accelerator)
    ledgers = [spec.ops(work) for work in local]
    if len(local) == 1 and plan.dp == 1:
        reach = ledgers[0]
    else:
        reach = spec.ops(Workload.decode(1, tokens * plan.dp, routing=local[0].routing))
    found = [kernel_time(kernel, device) for kernel in _on_devices(kernels(ledgers, local, reach, setting), plan)]
    found += offload_times(reach, local, precision, plan, device)
    found += _collectives(spec, tokens, sum(work.batch_size for work in local), plan, device)
    found.append(_framework(sum(work.batch_size for work in local) * plan.dp, device))
    return total(found, device.engine.spread)


def _on_devices(found: list[Kernel], plan: Placement) -> list[Kernel]:
    """The kernels that the devices run: less what the host computes."""
    if plan.offload_to == "cpu" and plan.offload_share:
        for kernel in found:
            if kernel.family == "experts" or (plan.offload == "layers" and kernel.group):
                kernel.layers = kernel.layers * (1 - plan.offload_share)
    return found


def _share(work: Workload, ways: int) -> Workload:
    """An equal share of the sequences; the largest whole one where they do not divide."""
    if ways == 1:
        return work
    return work.but(batch_size=-(-work.batch_size // ways))


def total(times: list[KernelTime], system_spread: float) -> Step:
    """Sum of the kernels, and the spread of the sum.

    sd^2 = [(1 - r) sum (t_i s_i)^2 + r (sum t_i s_i)^2] / t^2 + system^2

    r: shared_error in data/engine_defaults.json.
    """
    seconds = sum(time.seconds for time in times)
    alone = sum((time.seconds * time.spread) ** 2 for time in times)
    together = sum(time.seconds * time.spread for time in times) ** 2
    shared = engine_default("shared_error")
    variance = ((1 - shared) * alone + shared * together) / (seconds * seconds)
    return Step(times, seconds, (variance + system_spread**2) ** 0.5)


def _framework(sequences: Any, device: DeviceModel) -> KernelTime:
    engine = device.engine
    seconds = engine.step_seconds + engine.sequence_seconds * sequences
    kernel = Kernel(name=f"{engine.name}, per step", component="other", family="vector")
    return KernelTime(kernel, seconds, engine_default("framework_spread"), {"overhead": seconds})


def _collectives(
    spec: ModelSpec, tokens: Any, sequences: Any, plan: Placement, device: DeviceModel
) -> list[KernelTime]:
    """What crosses links in a step.

    tp    an all-reduce of tokens x hidden_size behind each mixer and each feed-forward, a gather of the logits
    dp    with experts on all copies: dispatch and combine of tokens * k rows; pp: hand-over between stages
    """
    size = ACTIVATION_BYTES * tokens * spec.hidden_size
    found = []
    mixers = sum(group.count * len(group.layer.mixers) for group in spec.layer_groups)
    parts = [(group.count, part) for group in spec.layer_groups for part in group.layer.feed_forwards]
    routed = [(count, part) for count, part in parts if hasattr(part, "num_experts_per_tok")]
    spread_out = plan.dp > 1 and plan.ep > 1
    if plan.tp > 1:
        dense = sum(count for count, _ in parts) - (sum(count for count, _ in routed) if spread_out else 0)
        found.append(transfer_time("all-reduce", "all_reduce", mixers + dense, plan.tp, size, device))
        if spec.head:
            logits = ACTIVATION_BYTES * sequences * spec.head.out_features / plan.tp
            found.append(transfer_time("gather of the logits", "all_to_all", 1, plan.tp, logits * plan.tp, device))
    if spread_out:
        for count, part in routed:
            rows = min(part.num_experts_per_tok, plan.ep) * size / plan.tp
            found.append(transfer_time("dispatch", "all_to_all", count, plan.ep, rows, device))
            found.append(transfer_time("combine", "all_to_all", count, plan.ep, rows, device))
    if plan.pp > 1:
        found.append(transfer_time("between stages", "all_to_all", plan.pp - 1, 2, 2 * size, device))
    return found


def _exp(value: Any) -> Any:
    if is_array(value):
        import numpy as np

        return np.exp(value)
    return exp(value)
