"""One step of a model on devices: kernels, collectives and the engine's own time, with a band and what binds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

from sparsecalc.core.arrays import Number, is_array, least, most
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.anchor import LoadCurve
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.host_times import host_times, sides
from sparsecalc.estimate.kernel import ACTIVATION_BYTES, Kernel, Scope, Setting
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.offload import offload_times
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.timing import KernelTime, kernel_time, transfer_time
from sparsecalc.model.ledgers import Ledgers, Model, work_key
from sparsecalc.model.spec import ModelSpec

BAND = 1.2816
"""Standard normal quantile of an 80 % band."""


@dataclass(slots=True)
class Step:
    """Seconds of one step; `times` add up to them."""

    times: list[KernelTime]
    seconds: Number
    spread: Number
    """Standard deviation of ln(measured / predicted)."""

    @property
    def seconds_low(self) -> Number:
        """Lower end of the 80 % band."""
        return self.seconds * _exp(-BAND * self.spread)

    @property
    def seconds_high(self) -> Number:
        """Upper end of the 80 % band."""
        return self.seconds * _exp(BAND * self.spread)

    def times_shorter(self, factor: Number) -> "Step":
        """The step with every part of it shorter by a factor."""
        times = [
            KernelTime(time.kernel, time.seconds / factor, time.spread, {k: v / factor for k, v in time.parts.items()})
            for time in self.times
        ]
        return Step(times, self.seconds / factor, self.spread)

    def by_bound(self) -> dict[str, Number]:
        """Seconds by what they are spent on."""
        sums: dict[str, Number] = {}
        for time in self.times:
            for bound, seconds in time.parts.items():
                sums[bound] = sums.get(bound, 0.0) + seconds
        return sums

    @property
    def bound(self) -> Number:
        """What most of the step is spent on; of many steps an array of names."""
        sums = self.by_bound()
        if is_array(self.seconds):
            import numpy as np

            return np.array(list(sums))[np.argmax(np.broadcast_arrays(*sums.values()), axis=0)]
        return max(sums, key=lambda name: sums[name])

    def by_scope(self) -> dict[Scope, Number]:
        """Seconds by what they follow: a step of many sequences is put together from these."""
        sums: dict[Scope, Number] = {}
        for time in self.times:
            sums[time.kernel.scope] = sums.get(time.kernel.scope, 0.0) + time.seconds
        return sums

    def by_component(self) -> dict[str, Number]:
        """Seconds by component of the model; `network` beside them."""
        sums: dict[str, Number] = {}
        for time in self.times:
            name = "network" if "network" in time.parts else time.kernel.component
            sums[name] = sums.get(name, 0.0) + time.seconds
        return sums


def step_time(
    model: Model,
    works: Workload | Sequence[Workload],
    precision: Precision,
    device: DeviceModel,
    placement: Placement | None = None,
    *,
    mixed: bool = False,
) -> Step:
    """Seconds of a step that computes `works` together, on the busiest device.

    `mixed`: prompts are computed beside them, as if they were among `works`.

    [sum over kernels + collectives + engine's step_seconds + sequence_seconds * sequences] * engine's factor

    The factor is that of an anchor, for a step that decodes; without one it is 1. The works' batch is that of all
    devices: each copy of the attention (dp) has its share, the busiest one the largest, while the experts compute what
    all copies send them. With pp stages, a batch passes them as pp micro-batches, so
    `works` is split by pp, and the step is a pass of one of them.
    """
    ledgers, plan = Ledgers.of(model), placement or Placement()
    works = [works] if isinstance(works, Workload) else list(works)
    whole = [_share(work, plan.micro_batches) for work in works]
    local = [_share(work, plan.dp) for work in whole]
    tokens = sum(work.tokens for work in local)
    mixed = mixed or len({work.phase for work in works}) > 1
    tile = device.engine.mixed_tile_rows if mixed else 0
    setting = Setting.of(precision, plan, device, tile)
    sequences, all_sequences = (sum(work.batch_size for work in each) for each in (local, whole))
    rows = [ledgers.ops(work) for work in local]
    reach = rows[0]
    if len(local) > 1 or plan.dp > 1:
        reach = ledgers.ops(_together(sum(work.tokens for work in whole), all_sequences, local[0].routing))
    apart = sides(rows, reach, local, precision, plan)
    here, reached = (apart.on_device, apart.reach_on_device) if apart else (rows, reach)
    times = _kernel_times(ledgers, setting, works, device, lambda: kernels(here, local, reached, setting, whole))
    times += host_times(apart, local, whole, precision, ledgers.spec.hidden_size) if apart else []
    times += offload_times(reach, local, precision, plan, device)
    times += _collectives(ledgers.spec, tokens, sequences, plan, device)
    times += _launches(times, device)
    times.append(_engine_time(all_sequences, device))
    engine = device.engine
    prompts = all(work.phase == "prefill" for work in works)
    spread = engine.spread if engine.prompt_spread is None or not prompts else engine.prompt_spread
    step = total(times, spread, engine.spread_factor(ledgers.spec.kind, plan.dp, plan.pp))
    context = works[0].context_len
    if prompts:
        return _anchored(step, engine.prompt_anchor, context)
    step = _anchored(step, engine.decode_anchor, context)
    return _anchored(step, engine.anchor, sequences * plan.dp * plan.pp)


def _kernel_times(
    ledgers: Ledgers, setting: Setting, works: Sequence[Workload], device: DeviceModel, make: Callable[[], list[Kernel]]
) -> list[KernelTime]:
    """Seconds of each kernel of a step.

    Kernels are the same on every accelerator that multiplies the same formats, so that a search of many makes them once
    (`Ledgers.kept`), of one precision and dense weights, and times those of a kind together: then the step's spread is
    a little too large.
    """
    kept = ledgers.kept
    if kept is None:
        return [kernel_time(kernel, device) for kernel in make()]
    from sparsecalc.estimate.stacked_kernels import stacked, summed

    if UNITS not in kept:
        formats = setting.precision.formats(ledgers.ops(Workload())).values()
        kept[UNITS] = {*SIXTEEN_BITS, *(name for fmt in formats for name in (fmt.id, fmt.compute, fmt.compute_needs))}
    units = tuple(name for name in setting.peaks if name in kept[UNITS])
    own = (setting.placement, setting.mixed_tile_rows, setting.quantized_products, units)
    key = (*own, *(value for work in works for value in work_key(work)))
    if key not in kept:
        kept[key] = stacked(make())
    return [summed(kernel_time(kernel, device)) for kernel in kept[key]]


UNITS = ("units",)
"""Under which a search keeps the formats whose units decide what kernels are."""
SIXTEEN_BITS = ("bf16", "fp16", "fp32")


def _together(tokens: Number, sequences: Number, routing: Routing) -> Workload:
    """One step of all tokens, from which the share of the experts that they reach is taken.

    Without correlation the tokens are independent, each a sequence of its own.
    """
    if routing.correlation == 1:
        return Workload.decode(1, tokens, routing=routing)
    each = tokens / sequences
    return Workload(phase="decode", batch_size=sequences, new_tokens=each, context_len=each, routing=routing)


def _share(work: Workload, ways: int) -> Workload:
    """An equal share of the sequences; the largest whole one where they do not divide."""
    if ways == 1:
        return work
    return work.but(batch_size=-(-work.batch_size // ways))


def total(times: list[KernelTime], system_spread: float, factor: float = 1.0) -> Step:
    """Sum of the kernels, and the spread of the sum.

    sd^2 = factor^2 * ([(1 - r) sum (t_i s_i)^2 + r (sum t_i s_i)^2] / t^2 + system^2)

    r: shared_error in data/engine_defaults.json. factor: how far off whole stacks of its kind were, for their kernels.
    """
    seconds = sum(time.seconds for time in times)
    alone = sum((time.seconds * time.spread) ** 2 for time in times)
    together = sum(time.seconds * time.spread for time in times) ** 2
    shared = engine_default("shared_error")
    variance = ((1 - shared) * alone + shared * together) / (seconds * seconds)
    return Step(times, seconds, factor * (variance + system_spread**2) ** 0.5)


def _anchored(step: Step, curve: LoadCurve | None, at: Number) -> Step:
    """The step as the user's own stack or machine takes it, with what is still unknown."""
    if curve is None:
        return step
    factor = curve.factor(at)
    for time in step.times:
        time.seconds = time.seconds * factor
        time.parts = {bound: seconds * factor for bound, seconds in time.parts.items()}
    return Step(step.times, step.seconds * factor, least(step.spread, curve.spread_at(at)))


def _engine_time(sequences: Number, device: DeviceModel) -> KernelTime:
    engine = device.engine
    seconds = engine.step_seconds + engine.sequence_seconds * sequences
    kernel = Kernel(name=f"{engine.name}, per step", component="other", family="vector", scope="engine")
    return KernelTime(kernel, seconds, engine_default("framework_spread"), {"overhead": seconds})


def _launches(times: list[KernelTime], device: DeviceModel) -> list[KernelTime]:
    """What the device waits for in eager mode: launch_seconds of each kernel, less what the kernels take meanwhile.

    By scope, max(0, launch_seconds * launches - seconds): the host runs ahead of long kernels.
    """
    each = device.engine.launch_seconds
    if not each:
        return []
    launches: dict[Scope, Number] = {}
    seconds: dict[Scope, Number] = {}
    for time in times:
        scope = time.kernel.scope
        launches[scope] = launches.get(scope, 0.0) + time.kernel.launches * time.kernel.layers
        seconds[scope] = seconds.get(scope, 0.0) + time.seconds
    found = []
    for scope, count in launches.items():
        waited = most(each * count - seconds[scope], 0.0)
        kernel = Kernel(name="launches from Python", component="other", family="vector", scope=scope)
        found.append(KernelTime(kernel, waited, engine_default("framework_spread"), {"overhead": waited}))
    return found


def _collectives(
    spec: ModelSpec, tokens: Number, sequences: Number, plan: Placement, device: DeviceModel
) -> list[KernelTime]:
    """What crosses links in a step.

    tp    an all-reduce of tokens x hidden_size behind each mixer and each feed-forward, a gather of the logits
    dp    with experts on all copies: dispatch and combine of tokens * k rows; pp: hand-over between stages
    """
    size = ACTIVATION_BYTES * tokens * spec.hidden_size
    transfers = []
    mixers = sum(group.count * len(group.layer.mixers) for group in spec.layer_groups)
    forwards = sum(group.count * len(group.layer.feed_forwards) for group in spec.layer_groups)
    spread_out = plan.dp > 1 and plan.ep > 1
    if plan.tp > 1:
        dense = forwards - (sum(count for count, _ in spec.mixtures) if spread_out else 0)
        transfers.append(transfer_time("all-reduce", "all_reduce", mixers + dense, plan.tp, size, device))
        if spec.head:
            logits = ACTIVATION_BYTES * sequences * spec.head.out_features / plan.tp
            gather = transfer_time(
                "gather of the logits", "all_to_all", 1, plan.tp, logits * plan.tp, device, scope="sequences"
            )
            transfers.append(gather)
    if spread_out:
        for count, mixture in spec.mixtures:
            rows = min(mixture.num_experts_per_tok, plan.ep) * size / plan.tp
            for name in ("dispatch", "combine"):
                transfers.append(transfer_time(name, "all_to_all", count, plan.ep, rows, device))
    if plan.pp > 1:
        transfers.append(transfer_time("between stages", "all_to_all", plan.pp - 1, 2, 2 * size, device))
    return transfers


def _exp(value: Number) -> Number:
    if is_array(value):
        import numpy as np

        return np.exp(value)
    return exp(value)
