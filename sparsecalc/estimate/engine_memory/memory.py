"""An engine's memory put together, and which loads fit into its cache."""

from copy import copy
from math import ceil

from sparsecalc.core.largest import largest_within
from sparsecalc.core.precision import Precision
from sparsecalc.estimate.costs import memory
from sparsecalc.estimate.engine_memory import held
from sparsecalc.estimate.engine_memory.cache import cache_blocks, layer_kinds
from sparsecalc.estimate.engine_memory.rules import EngineRules
from sparsecalc.estimate.fit import LARGEST_BATCH, LARGEST_CONTEXT, gpus_needed
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.results import EngineMemory, Prediction
from sparsecalc.model.ledgers import Ledgers


class EngineDevice:
    """The busiest device of a placement as an engine fills it: what is held, and the cache that is left.

    `room` is what the engine finds for its cache ("Available KV cache memory"), by the rule of `EngineRules`; or what
    it is told (--kv-cache-memory-bytes). `extra_weight_bytes`: parts beside the decoder that the engine loads as well.
    """

    def __init__(
        self, model: Ledgers, precision: Precision, plan: Placement, rules: EngineRules, extra_weight_bytes: int = 0
    ) -> None:
        self.model, self.precision, self.plan = model, precision, plan
        self.weights = held.weight_bytes(model, precision, plan, rules, extra_weight_bytes)
        self.other = held.other_bytes(plan, rules)
        self.kinds = layer_kinds(model, precision, plan)
        self._profiled: dict[tuple[float, ...], int] = {}
        self._fill(rules)

    def _fill(self, rules: EngineRules) -> None:
        self.rules = rules
        self.activation = self._profile_bytes(rules)
        self.graphs = held.graph_bytes(rules)
        self.room = self._room()
        self.blocks = cache_blocks(self.kinds, rules, self.room)

    def _profile_bytes(self, rules: EngineRules) -> int:
        """The peak of the profile, which copies of the device under other rules share as long as it is the same."""
        step = (rules.max_num_batched_tokens, rules.profiled_seqs, rules.sampler_bytes_per_logit)
        if step not in self._profiled:
            self._profiled[step] = held.profile_bytes(self.model.spec, self.precision, self.plan, rules)
        return self._profiled[step]

    def under(self, rules: EngineRules) -> "EngineDevice":
        """The same layout under other rules of the same engine, such as those of another accelerator."""
        other = copy(self)
        other.other = held.other_bytes(self.plan, rules)
        other._fill(rules)
        return other

    def serving(self, load: Load) -> "EngineDevice":
        """The device of a server that is told what the load needs: --max-num-seqs, where it is not given.

        The engine's own default stays as long as it leaves room and lets the batch in; else it is the batch.
        """
        sequences, rules = ceil(load.batch_size / self.plan.dp), self.rules
        fixed = rules.seqs_are_told or rules.rule == "static" or rules.kv_cache_memory_bytes is not None
        if fixed or (self.room > 0 and sequences <= rules.max_num_seqs):
            return self
        other = copy(self)
        other._fill(rules.but(max_num_seqs=sequences))
        return other

    @property
    def budget(self) -> int:
        """Bytes that weights and cache may have together."""
        share, total = self.rules.memory_share, self.rules.total_bytes
        if self.rules.rule == "profiled":
            return int(share * total) - self.activation - self.other - self._graphs_in_share
        if self.rules.rule == "static":
            return int(share * (total - self.other))
        return self.weights + int(share * (total - self.weights - self.activation - self.other))

    @property
    def _graphs_in_share(self) -> int:
        return self.graphs if self.rules.graphs_in_share else 0

    def _room(self) -> int:
        told = self.rules.kv_cache_memory_bytes
        return self.budget - self.weights if told is None else told

    @property
    def starts(self) -> bool:
        """Whether there is any room for a cache, and what is told fits on the device."""
        told = self.rules.kv_cache_memory_bytes
        return self.room > 0 and (told is None or self._held + told <= self.rules.total_bytes)

    @property
    def _held(self) -> int:
        return self.weights + self.activation + self.other + self._graphs_in_share

    def most_sequences(self, load: Load, asked: int) -> int:
        """Sequences that the engine lets in at once, on all copies of the attention, of `asked` ones."""
        if self.room <= 0 and not self.rules.seqs_are_told:
            return asked
        return self.serving(load).rules.max_num_seqs * self.plan.dp

    def lacking(self, load: Load) -> int:
        """Blocks that a load needs beyond those that there are; at most 0: it fits."""
        sequences, device = ceil(load.batch_size / self.plan.dp), self.serving(load)
        if not device.starts:
            return max(1, sequences * device.blocks.per_sequence(load.context_len))
        return device.blocks.lacking(sequences, load.context_len)

    def fits(self, load: Load) -> bool:
        """Whether the engine starts and holds the load."""
        return self.lacking(load) <= 0

    def largest_batch(self, load: Load) -> int:
        """Largest batch that is held at the load's context."""
        return largest_within(LARGEST_BATCH, lambda batch: self.lacking(load.but(batch_size=batch)), load.batch_size)

    def figures(self, load: Load) -> EngineMemory:
        """What the engine's log says, of sequences of the load's context; with its own defaults where it refuses."""
        device = self if self.room <= 0 else self.serving(load)
        rules, blocks = device.rules, device.blocks
        return EngineMemory(
            weights_bytes=device.weights,
            activation_bytes=device.activation,
            cuda_graph_bytes=device.graphs,
            other_bytes=device.other,
            kv_cache_bytes=device.room,
            kv_cache_tokens=blocks.tokens(load.context_len),
            block_size=blocks.block_size,
            num_blocks=blocks.num_blocks,
            max_concurrency=blocks.concurrency(load.context_len),
            max_num_seqs=rules.max_num_seqs,
            max_num_batched_tokens=rules.max_num_batched_tokens,
        )

    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with what the engine makes of it: fit, largest loads, bytes in use and free."""
        device, lacking = self.serving(load), self.lacking(load)
        needed = ceil(load.batch_size / self.plan.dp) * device.blocks.per_sequence(load.context_len)
        cached = ceil(needed * device.blocks.block_bytes)
        free = device.room - cached
        if device.room > 0 and not device.starts:
            free = device.rules.total_bytes - device._held - device.room
        return generic.but(
            fits=lacking <= 0,
            gpus_needed=device._gpus_needed(load, lacking <= 0),
            device_memory_share=self.rules.memory_share,
            bytes_per_gpu=device._held + cached,
            weights_bytes_per_gpu=self.weights,
            free_bytes_per_gpu=free if lacking <= 0 else min(free, -ceil(lacking * device.blocks.block_bytes)),
            largest_batch_size=self.largest_batch(load),
            largest_context_len=largest_within(
                LARGEST_CONTEXT, lambda context: self.lacking(load.but(context_len=context)), load.context_len
            ),
            engine_memory=self.figures(load),
        )

    def _gpus_needed(self, load: Load, fits: bool) -> int | None:
        """Devices whose even shares hold weights and cache; no fewer than there are where the load does not fit."""
        asked = memory(self.model, self.precision, load)
        even = gpus_needed(asked.but(activation_bytes=0, logits_bytes=0), self.budget)
        if even is None:
            return None
        return min(even, self.plan.num_gpus) if fits else max(even, self.plan.num_gpus + 1)
