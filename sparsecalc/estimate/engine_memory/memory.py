"""An engine's memory put together, and which loads fit into its cache."""

from math import ceil

from sparsecalc.core.largest import largest_within
from sparsecalc.core.precision import Precision
from sparsecalc.estimate.costs import memory
from sparsecalc.estimate.engine_memory import held
from sparsecalc.estimate.engine_memory.cache import CacheBlocks, cache_blocks, layer_kinds
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
        self.model, self.precision, self.plan, self.rules = model, precision, plan, rules
        self.weights = held.weight_bytes(model, precision, plan, rules, extra_weight_bytes)
        self.activation = self._profile(rules)
        self.graphs, self.other = held.graph_bytes(rules), held.other_bytes(plan, rules)
        self.room = self._room()
        self.blocks = cache_blocks(layer_kinds(model, precision, plan), rules, self.room)

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

    def max_num_seqs(self, load: Load) -> int:
        """Sequences that the engine lets in at once: as many as it is told, or its default, or a larger batch."""
        told = self.rules.max_num_seqs
        return told if self.rules.seqs_are_told else max(told, ceil(load.batch_size / self.plan.dp))

    def _profile_growth(self, load: Load) -> int:
        """Bytes that the profile takes beyond that of the default, where a larger batch makes the sampler larger."""
        seqs = self.max_num_seqs(load)
        if seqs == self.rules.max_num_seqs or self.rules.rule == "static":
            return 0
        return self._profile(self.rules.but(max_num_seqs=seqs)) - self.activation

    def _profile(self, rules: EngineRules) -> int:
        return held.profile_bytes(self.model.spec, self.precision, self.plan, rules)

    def _blocks(self, load: Load) -> CacheBlocks:
        """The blocks that a server of the load has."""
        growth = self._profile_growth(load)
        if not growth or not self.blocks.block_bytes or self.rules.kv_cache_memory_bytes is not None:
            return self.blocks
        return self.blocks.but(num_blocks=max(0, int((self.room - growth) // self.blocks.block_bytes)))

    def lacking(self, load: Load) -> int:
        """Blocks that a load needs beyond those that there are; at most 0: it fits."""
        sequences = ceil(load.batch_size / self.plan.dp)
        if not self.starts:
            return max(1, sequences * self.blocks.per_sequence(load.context_len))
        return self._blocks(load).lacking(sequences, load.context_len)

    def fits(self, load: Load) -> bool:
        """Whether the engine starts and holds the load."""
        return self.lacking(load) <= 0

    def largest_batch(self, load: Load) -> int:
        """Largest batch that is held at the load's context."""
        return largest_within(LARGEST_BATCH, lambda batch: self.lacking(load.but(batch_size=batch)), load.batch_size)

    def figures(self, load: Load) -> EngineMemory:
        """What the engine's log says, of sequences of the load's context."""
        growth, blocks, context_len = self._profile_growth(load), self._blocks(load), load.context_len
        lost = 0 if blocks is self.blocks else growth
        return EngineMemory(
            weights_bytes=self.weights,
            activation_bytes=self.activation + growth,
            cuda_graph_bytes=self.graphs,
            other_bytes=self.other,
            kv_cache_bytes=self.room - lost,
            kv_cache_tokens=blocks.tokens(context_len),
            block_size=blocks.block_size,
            num_blocks=blocks.num_blocks,
            max_concurrency=blocks.concurrency(context_len),
            max_num_seqs=self.max_num_seqs(load),
            max_num_batched_tokens=self.rules.max_num_batched_tokens,
        )

    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with what the engine makes of it: fit, largest loads, bytes in use and free."""
        needed = ceil(load.batch_size / self.plan.dp) * self.blocks.per_sequence(load.context_len)
        cached = ceil(needed * self.blocks.block_bytes)
        lacking, found = self.lacking(load), self.figures(load)
        free = found.kv_cache_bytes - cached
        if self.room > 0 and not self.starts:
            free = self.rules.total_bytes - self._held - self.room
        return generic.but(
            fits=lacking <= 0,
            gpus_needed=self._gpus_needed(load, lacking <= 0),
            device_memory_share=self.rules.memory_share,
            bytes_per_gpu=self._held + found.activation_bytes - self.activation + cached,
            weights_bytes_per_gpu=self.weights,
            free_bytes_per_gpu=free if lacking <= 0 else min(free, -ceil(lacking * self.blocks.block_bytes)),
            largest_batch_size=self.largest_batch(load),
            largest_context_len=largest_within(
                LARGEST_CONTEXT, lambda context: self.lacking(load.but(context_len=context)), load.context_len
            ),
            engine_memory=found,
        )

    def _gpus_needed(self, load: Load, fits: bool) -> int | None:
        """Devices whose even shares hold weights and cache; no fewer than there are where the load does not fit."""
        asked = memory(self.model, self.precision, load)
        even = gpus_needed(asked.but(activation_bytes=0, logits_bytes=0), self.budget)
        if even is None:
            return None
        return min(even, self.plan.num_gpus) if fits else max(even, self.plan.num_gpus + 1)
