"""Does it fit: bytes per device against the device's memory, how many devices, and what is left for the cache."""

from collections.abc import Callable
from dataclasses import replace

from sparsecalc.core.precision import Precision
from sparsecalc.estimate.costs import Load, engine_default, memory
from sparsecalc.estimate.results import Memory, Prediction
from sparsecalc.model.accelerator import Accelerator
from sparsecalc.model.spec import ModelSpec

LARGEST_BATCH = 2**24
LARGEST_CONTEXT = 2**30


def bytes_per_gpu(held: Memory, num_gpus: int) -> int:
    """ceil((weights + caches + state) / num_gpus) + working memory, which every device needs in full.

    Assumes that weights and caches split evenly; a placement that does not split them needs more.
    """
    split = held.weights_bytes + held.kv_cache_bytes + held.index_cache_bytes + held.state_bytes
    return -(-split // num_gpus) + max(held.activation_bytes, held.logits_bytes)


def fit(
    spec: ModelSpec, precision: Precision, load: Load, gpu: Accelerator, num_gpus: int, share: float | None = None
) -> Prediction:
    """Whether `load` fits on `num_gpus` devices, how many it needs, and the largest batch and context that fit.

    A device may be filled up to `share` of its usable memory (vLLM's default where None).
    """
    share = engine_default("device_memory_share") if share is None else share
    budget = int(gpu.capacity_bytes * share)
    held = memory(spec, precision, load)
    per_gpu = bytes_per_gpu(held, num_gpus)

    def fits(changed: Load) -> bool:
        return bytes_per_gpu(memory(spec, precision, changed), num_gpus) <= budget

    return Prediction(
        accelerator=gpu.id,
        num_gpus=num_gpus,
        fits=per_gpu <= budget,
        gpus_needed=_gpus_needed(held, budget),
        capacity_bytes=gpu.capacity_bytes,
        capacity_is_measured=gpu.capacity_is_measured,
        device_memory_share=share,
        bytes_per_gpu=per_gpu,
        free_bytes_per_gpu=budget - per_gpu,
        largest_batch_size=largest(LARGEST_BATCH, lambda batch: fits(replace(load, batch_size=batch))),
        largest_context_len=largest(LARGEST_CONTEXT, lambda context: fits(replace(load, context_len=context))),
        usd_per_hour=None if gpu.usd_per_hour is None else num_gpus * gpu.usd_per_hour.value,
    )


def _gpus_needed(held: Memory, budget: int) -> int | None:
    """Smallest number of devices for which `bytes_per_gpu` is within the budget; None if there is none."""
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
