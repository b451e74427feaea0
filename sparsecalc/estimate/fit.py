"""Does it fit: bytes per device against the device's memory, how many devices, and what is left for the cache."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.estimate.costs import Load, engine_default, memory, working_bytes
from sparsecalc.estimate.offload import resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.results import Memory, Prediction
from sparsecalc.model.spec import ModelSpec

LARGEST_BATCH = 2**24
LARGEST_CONTEXT = 2**30


class DeviceBytes(Frozen):
    """Bytes that one device of a placement holds."""

    weights: int
    caches: int
    working: int
    """Of the larger of a step's intermediate results and its logits."""

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.caches + self.working


def bytes_per_gpu(spec: ModelSpec, precision: Precision, load: Load, plan: Placement) -> DeviceBytes:
    """What the fullest device holds under a placement.

    weights = sum of bytes / devices that split them (copies where they cannot be split) / pp, less what is offloaded
    caches  = the same over the cache and state of batch_size / dp sequences; working memory is held in full
    """
    share = load.batch_size if plan.dp == 1 else -(-load.batch_size // plan.dp)
    rows = spec.ops(Workload.decode(load.context_len, share))
    weights = caches = 0.0
    for op in rows:
        ways = plan.ways(op)
        weights += precision.weight_bytes(op) * op.layers / ways * resident_share(plan, op)
        state = op.state_elements * (4 if op.state_is_fp32 else precision.activations.bits / 8)
        held = precision.kv_cache_bytes(op.kv_elements) + precision.kv_cache_bytes(op.index_elements)
        caches += (held + state) * op.layers / ways
    working = max(working_bytes(spec, precision, replace(load, batch_size=share)))
    return DeviceBytes(weights=ceil(weights / plan.pp), caches=ceil(caches / plan.pp), working=working)


def budget_bytes(gpu: Accelerator, share: float | None) -> int:
    """Bytes of a device that may be filled: `share` of the usable ones (vLLM's default where None)."""
    return int(gpu.capacity_bytes * (engine_default("device_memory_share") if share is None else share))


def fit(
    spec: ModelSpec, precision: Precision, load: Load, gpu: Accelerator, plan: Placement, share: float | None = None
) -> Prediction:
    """Whether `load` fits on the placement's devices, how many it needs, and the largest batch and context that fit.

    A device may be filled up to `share` of its usable memory (vLLM's default where None).
    """
    share = engine_default("device_memory_share") if share is None else share
    budget = budget_bytes(gpu, share)
    held = bytes_per_gpu(spec, precision, load, plan)

    def fits(changed: Load) -> bool:
        return bytes_per_gpu(spec, precision, changed, plan).total <= budget

    return Prediction(
        accelerator=gpu.id,
        num_gpus=plan.num_gpus,
        placement=plan.name,
        fits=held.total <= budget,
        gpus_needed=_gpus_needed(memory(spec, precision, load), budget),
        capacity_bytes=gpu.capacity_bytes,
        capacity_is_measured=gpu.capacity_is_measured,
        device_memory_share=share,
        bytes_per_gpu=held.total,
        weights_bytes_per_gpu=held.weights,
        free_bytes_per_gpu=budget - held.total,
        largest_batch_size=largest(LARGEST_BATCH, lambda batch: fits(replace(load, batch_size=batch))),
        largest_context_len=largest(LARGEST_CONTEXT, lambda context: fits(replace(load, context_len=context))),
        usd_per_hour=None if gpu.usd_per_hour is None else plan.num_gpus * gpu.usd_per_hour.value,
    )


def _gpus_needed(held: Memory, budget: int) -> int | None:
    """Smallest number of devices whose even shares are within the budget; None if there is none."""
    room = budget - max(held.activation_bytes, held.logits_bytes)
    if room <= 0:
        return None
    split = held.weights_bytes + held.kv_cache_bytes + held.index_cache_bytes + held.state_bytes
    return max(1, -(-split // room))


def largest(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest value up to `limit` that fits, 0 if even 1 does not; `fits` never comes back once it is lost."""
    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= limit and fits(high):
        low, high = high, 2 * high
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
