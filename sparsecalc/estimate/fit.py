"""Does it fit: bytes per device against the device's memory, how many devices, and what is left for the cache."""

from collections.abc import Sequence
from math import ceil

from sparsecalc.core.arrays import Number, each_of, is_array, most, up
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.largest import largest_within
from sparsecalc.core.ops import Ledger
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.estimate.costs import activation_bytes, logits_bytes, memory, step_tokens
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.offload import HOST, host_bytes, host_share, resident_cache_share, resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.prices import usd_per_hour
from sparsecalc.estimate.results import Memory, Prediction
from sparsecalc.model.ledgers import Ledgers, Model

LARGEST_BATCH = 2**24
LARGEST_CONTEXT = 2**30


class DeviceBytes(Frozen):
    """Bytes that one device of a placement holds."""

    weights: int
    caches: Number
    working: Number
    """Of the larger of a step's intermediate results and its logits."""

    @property
    def total(self) -> Number:
        """All together."""
        return self.weights + self.caches + self.working


class DeviceMemory:
    """What the fullest device of a placement holds, for any load of one model.

        weights = sum of bytes / devices that split them (copies where they cannot be split) / pp, less offloaded ones
        caches  = the same over the cache and state of batch_size / dp sequences; working memory is held in full

    Each sequence has a cache and states of its own, so that the ledger of one batch at a context serves every batch.
    Under llama.cpp each card holds its own layers, and the host what is left to it. Arrays of batch sizes and contexts
    broadcast where all devices hold the same share.
    """

    def __init__(self, model: Model, precision: Precision, plan: Placement) -> None:
        self.ledgers, self.precision, self.plan = Ledgers.of(model), precision, plan
        self._rows: dict[int, tuple[Ledger, int]] = {}
        self._activations: dict[int, int] = {}
        self._weights: dict[int | None, int] = {}

    def at(self, load: Load) -> DeviceBytes:
        """Bytes under a load."""
        sequences = -(-load.batch_size // self.plan.dp)
        rows, counted = self._counted(load.context_len, sequences)
        working = self._working_bytes(load.but(batch_size=sequences))
        cards: Sequence[int | None] = range(self.plan.cards) if self.plan.cards > 1 else (None,)
        held = [(self._weight_bytes(rows, card), self._cache_bytes(rows, counted, sequences, card)) for card in cards]
        weights, caches = max(held, key=sum) if len(held) > 1 else held[0]
        return DeviceBytes(weights=weights, caches=caches, working=working)

    def _counted(self, context_len: Number, sequences: Number) -> tuple[Ledger, int]:
        """The ledger of a batch at a context, and its sequences."""
        if is_array(context_len):
            return self.ledgers.ops(Workload.decode(context_len)), 1
        if context_len not in self._rows:
            self._rows[context_len] = self.ledgers.ops(Workload.decode(context_len, sequences)), sequences
        return self._rows[context_len]

    def on_host(self, load: Load) -> int:
        """Bytes of weights and caches that lie in host memory under a load."""
        if self.plan.places is None:
            return host_bytes(self.ledgers, self.precision, self.plan)
        self.at(load)
        rows, counted = self._rows[load.context_len]
        weights = rows.sum(lambda op: self.precision.weight_bytes(op) * host_share(self.plan, op))
        return round(weights) + int(self._cache_bytes(rows, counted, -(-load.batch_size // self.plan.dp), HOST))

    def excess(self, load: Load, budget: int) -> Number:
        """By how many bytes a load is too much for a device of `budget` bytes, or the host; 0 or less: it fits."""
        more, host = self.at(load).total - budget, self.plan.host
        if host is None:
            return more
        there = self.on_host(load)
        return more + there if host.is_shared else max(more, host.shortage_bytes(there))

    def _weight_bytes(self, rows: Ledger, card: int | None) -> int:
        """On one device, or on a `card` of its own; the same under every load."""
        if card not in self._weights:
            plan, weight_bytes = self.plan, self.precision.weight_bytes
            if card is not None:
                held = sum(weight_bytes(op) * op.layers * resident_share(plan, op, card) for op in rows)
            else:
                held = sum(weight_bytes(op) * op.layers / plan.ways(op) * resident_share(plan, op) for op in rows)
                held /= plan.pp
            self._weights[card] = ceil(held)
        return self._weights[card]

    def _cache_bytes(self, rows: Ledger, counted: int, sequences: Number, card: int | None) -> Number:
        """Of `sequences`, from the ledger of `counted` ones; on one device, a `card` of its own, or the host."""
        precision, held = self.precision, 0.0
        for op in rows:
            elements = (op.kv_elements, op.index_elements, op.state_elements)
            if not any(is_array(each) or each for each in elements):
                continue
            kv, index, state = (count * sequences // counted for count in elements)
            state_bytes = state * precision.state_element_bytes(op)
            cached = precision.kv_cache_bytes(kv) + precision.kv_cache_bytes(index)
            split = self.plan.ways(op) * self.plan.pp if card is None else 1
            held += (cached + state_bytes) * op.layers / split * resident_cache_share(self.plan, op, card)
        return up(held)

    def _working_bytes(self, load: Load) -> Number:
        logits = logits_bytes(self.ledgers.spec, self.precision, load.batch_size)
        return most(each_of(self._activation_bytes, step_tokens(load)), logits)

    def _activation_bytes(self, tokens: int) -> int:
        if tokens not in self._activations:
            self._activations[tokens] = activation_bytes(self.ledgers.spec, self.precision, tokens)
        return self._activations[tokens]


def budget_bytes(gpu: Accelerator, share: float | None) -> int:
    """Bytes of a device that may be filled: `share` of the usable ones (vLLM's default where None)."""
    return int(gpu.capacity_bytes * memory_share(share))


def memory_share(share: float | None) -> float:
    """Share of a device's usable memory that may be filled; vLLM's default where None."""
    return engine_default("device_memory_share") if share is None else share


def fit(
    model: Model, precision: Precision, load: Load, gpu: Accelerator, plan: Placement, share: float | None = None
) -> Prediction:
    """Whether `load` fits on the placement's devices, how many it needs, and the largest batch and context that fit.

    A device may be filled up to `share` of its usable memory (vLLM's default where None).
    """
    ledgers = Ledgers.of(model)
    budget, devices = budget_bytes(gpu, share), DeviceMemory(ledgers, precision, plan)
    held = devices.at(load)

    def excess(changed: Load) -> int:
        return int(devices.excess(changed, budget))

    return Prediction(
        accelerator=gpu.id,
        num_gpus=plan.num_gpus,
        placement=plan.name,
        fits=excess(load) <= 0,
        gpus_needed=_devices_needed(devices, load, budget),
        capacity_bytes=gpu.capacity_bytes,
        capacity_is_measured=gpu.capacity_is_measured,
        device_memory_share=memory_share(share),
        bytes_per_gpu=held.total,
        weights_bytes_per_gpu=held.weights,
        free_bytes_per_gpu=budget - held.total,
        largest_batch_size=largest_batch(devices, load, budget),
        largest_context_len=largest_within(
            LARGEST_CONTEXT,
            lambda context: excess(load.but(context_len=context)),
            max(load.context_len, load.max_num_batched_tokens),  # from here on working memory is that of a whole chunk
        ),
        usd_per_hour=usd_per_hour(gpu, plan.num_gpus),
    )


def largest_batch(devices: DeviceMemory, load: Load, budget: int) -> int:
    """Largest batch that fits at the load's context."""
    return largest_within(
        LARGEST_BATCH, lambda batch: devices.excess(load.but(batch_size=batch), budget), load.batch_size
    )


def _devices_needed(devices: DeviceMemory, load: Load, budget: int) -> int | None:
    """The same of what the host does not hold; those that there are, where they and the host hold it."""
    held, plan = memory(devices.ledgers, devices.precision, load), devices.plan
    if plan.offload == "none" and plan.places is None:
        return gpus_needed(held, budget)
    if devices.excess(load, budget) <= 0:
        return plan.num_gpus
    there = devices.on_host(load)
    if plan.host and (plan.host.is_shared or plan.host.shortage_bytes(there) > 0):
        return gpus_needed(held, budget)
    left = held.weights_bytes + held.kv_cache_bytes + held.index_cache_bytes + held.state_bytes - there
    return gpus_needed(held.but(weights_bytes=left, kv_cache_bytes=0, index_cache_bytes=0, state_bytes=0), budget)


def gpus_needed(held: Memory, budget: int) -> int | None:
    """Smallest number of devices whose even shares are within the budget; None if there is none."""
    room = budget - max(held.activation_bytes, held.logits_bytes)
    if room <= 0:
        return None
    split = held.weights_bytes + held.kv_cache_bytes + held.index_cache_bytes + held.state_bytes
    return max(1, -(-split // room))
