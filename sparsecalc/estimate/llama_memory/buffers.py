"""llama.cpp's buffers, place by place: in host memory and on each card."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.llama_memory.cache import LayerCache, layer_cache
from sparsecalc.estimate.llama_memory.figures import LlamaBuffers, LlamaMemory
from sparsecalc.estimate.llama_memory.graph import FLOAT, HALF, PLACE, GraphOptions, LayerOnDevice, Output, device_graph
from sparsecalc.estimate.llama_memory.graph_allocator import peak_bytes
from sparsecalc.estimate.llama_memory.places import cache_shares, weight_shares
from sparsecalc.estimate.llama_memory.rules import LlamaRules, pipeline_copies
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.places import Shares
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.spec import Layer


class CacheFormats(Frozen):
    """Number formats of cached keys and values."""

    keys: NumberFormat
    values: NumberFormat


class Running(Frozen):
    """Sequences that have cells of their own, and the context of each."""

    sequences: int
    context_len: int


class LlamaModel:
    """A model in an engine based on llama.cpp: its buffers for any number of sequences and any context."""

    def __init__(
        self,
        model: Ledgers,
        precision: Precision,
        plan: Placement,
        rules: LlamaRules,
        formats: CacheFormats,
        *,
        alone: bool = False,
    ) -> None:
        """`alone`: there is no device but the host, which computes all."""
        self.spec, self.precision, self.plan, self.rules, self.formats = model.spec, precision, plan, rules, formats
        self.alone = alone
        self.rows = model.ops(Workload())
        self._compute: dict[tuple[int, int], list[int]] = {}

    @cached_property
    def weights(self) -> list[int]:
        """Bytes of weights in each place, host memory first ("model buffer size")."""
        return self._summed([(self.precision.weight_bytes(op) * op.layers, self.shares(op)) for op in self.rows])

    @cached_property
    def caches(self) -> list[tuple[LayerCache, int, Shares]]:
        """What the layers of each group cache, how many there are, and where they lie."""
        return [
            (self._cache_of(group.layer), group.count, self._cache_shares(group.layer.label))
            for group in self.spec.layer_groups
            if not group.layer.reused
        ]

    def _cache_of(self, layer: Layer) -> LayerCache:
        stored = self.spec.stored
        return layer_cache(layer, self.rules, expanded=stored is not None and stored.expanded_latents)

    def shares(self, op: Op) -> Shares:
        """Where an op's weights lie."""
        return weight_shares(self.plan, op, alone=self.alone, tied=self.spec.tie_word_embeddings)

    def _cache_shares(self, label: str) -> Shares:
        return cache_shares(self.plan, label, alone=self.alone)

    def _summed(self, parts: Sequence[tuple[float, Shares]]) -> list[int]:
        places = max(len(shares) for _, shares in parts)
        return [round(sum(size * shares[place] for size, shares in parts)) for place in range(places)]

    def kv(self, running: Running, *, windowed: bool) -> list[int]:
        """Bytes of the cells of full attention, or of windows, in each place ("KV buffer size")."""
        found = [
            (
                count
                * cache.cells(self.rules, running.context_len)
                * cache.cell_bytes(self.formats.keys, self.formats.values)
                * running.sequences
                if (cache.window is not None and not self.rules.swa_full) == windowed
                else 0.0,
                shares,
            )
            for cache, count, shares in self.caches
        ]
        return self._summed(found)

    def states(self, running: Running) -> list[int]:
        """Bytes of recurrent states in each place ("RS buffer size")."""
        return self._summed(
            [(cache.state_bytes * count * running.sequences, shares) for cache, count, shares in self.caches]
        )

    def compute(self, running: Running) -> list[int]:
        """Bytes of the compute buffer of each place; the host's holds what it hands to the cards, or all of a CPU's."""
        key = (running.sequences, running.context_len)
        if key not in self._compute:
            cards = [self._card_compute(place, running) for place in range(1, len(self.weights))]
            self._compute[key] = [self._host_compute(running, alone=not any(cards)), *cards]
        return self._compute[key]

    def _tokens(self, running: Running) -> int:
        """Tokens of the reserved graph: a micro-batch, or the whole of a smaller context."""
        return min(self.rules.ubatch_size, running.sequences * running.context_len)

    def _options(self, running: Running, place: int) -> GraphOptions:
        return GraphOptions(
            copies=self._copies,
            follows=place > 1 and self._copies > 1,
            tokens=self._tokens(running),
            flash_attention=self.rules.flash_attention,
            streams=running.sequences,
            wide_masks=self.rules.wide_masks,
            fused_projections=self.rules.fused_projections,
            keeps_last_hidden=self.rules.keeps_last_hidden,
        )

    @property
    def _copies(self) -> int:
        """Copies of inputs: several where all layers lie on cards that take turns, which then work side by side."""
        places = self.plan.places
        whole = places is not None and self.plan.tp == 1 and self.plan.cards > 1
        if not (places and whole and places.gpu_layers == places.layers and not places.visits):
            return 1
        return pipeline_copies()

    def _card_compute(self, place: int, running: Running) -> int:
        layers, output = self._layers(running, place), self._output(place)
        if not layers and not output.vocab_size:
            return 0
        return self._graph_bytes(layers, running, output, place)

    def _output(self, place: int) -> Output:
        """The logits that a card computes: those of a head that lies there, or is sent to the first one."""
        head = next((op for op in self.rows if op.component == "lm_head" and op.matrices), None)
        if head is None:
            return Output()
        shares = self.shares(head)
        if shares[place]:
            return Output(vocab_size=self.spec.vocab_size)
        if place > 1 or not (shares[0] and self._sends):
            return Output()
        return Output(vocab_size=self.spec.vocab_size, sent_bytes=self.precision.used_weight_bytes(head))

    @property
    def _sends(self) -> bool:
        """Whether prompts are computed on cards with weights that are sent from host memory."""
        return self.plan.host is None or self.plan.host.rules.sends_from is not None

    def _graph_bytes(self, layers: list[LayerOnDevice], running: Running, output: Output, place: int = 0) -> int:
        value_width = max((cache.value_elements for cache, _, _ in self.caches), default=0)
        options = self._options(running, place)
        return peak_bytes(device_graph(layers, options, self.spec.hidden_size, output, value_width).nodes)

    def _layers(self, running: Running, place: int | None) -> list[LayerOnDevice]:
        """The layers that a place computes, in order; all of them for None."""
        found: dict[int, LayerOnDevice] = {}
        made: dict[tuple[object, ...], LayerOnDevice] = {}
        for group in self.spec.layer_groups:
            shares = self._cache_shares(group.layer.label)
            if place is not None and not (shares[place] or (place == 1 and shares[0] and self._sends)):
                continue
            cache = self._cache_of(group.layer)
            cells, windowed = cache.cells(self.rules, running.context_len) * running.sequences, cache.window is not None
            sent = self._sent(group.layer.label) if place is not None and self._sends else ()
            each = LayerOnDevice(layer=group.layer, cells=cells, windowed=windowed, sent=sent)
            found.update(dict.fromkeys(group.positions, made.setdefault((id(group.layer), sent), each)))
        return [found[position] for position in sorted(found)]

    def _sent(self, label: str) -> tuple[tuple[str, int], ...]:
        """Tensors of a kind of layer that lie in host memory, for some of its layers at least, each with its bytes."""
        return tuple(
            (op.name, ceil(self.precision.weight_bytes(replace(op, vectors=0)) / _tensors(op)))
            for op in self.rows
            if op.group == label and op.matrices and self.shares(op)[0]
        )

    def _host_compute(self, running: Running, *, alone: bool) -> int:
        """Hidden states that are looked up, masks and places; beside a CPU's graph where it computes all.

        Without flash attention each element of a value has a place.
        """
        if alone:
            return self._graph_bytes(self._layers(running, None), running, Output(vocab_size=self.spec.vocab_size))
        tokens, fused = self._tokens(running), self.rules.flash_attention
        held = self.rules.hidden_inputs * self.spec.hidden_size * FLOAT * tokens
        seen: dict[tuple[int, bool], int] = {}
        for cache, _, _ in self.caches:
            if cells := cache.cells(self.rules, running.context_len):
                kind = cells, cache.window is not None
                seen[kind] = max(seen.get(kind, 0), cache.value_elements)
        for (cells, _), width in seen.items():
            held += cells * tokens * (HALF if fused and not self.rules.wide_masks else FLOAT)
            held += tokens * PLACE * (2 if fused else 1 + width)
        return held + 3 * FLOAT * tokens  # tokens, positions, outputs

    def output(self, running: Running) -> int:
        """Bytes of the logits that the host reads: those of one token of each sequence ("output buffer size")."""
        return running.sequences * self.spec.vocab_size * FLOAT if self.spec.head else 0

    def held(self, running: Running) -> list[int]:
        """All bytes in each place."""
        parts = (
            self.weights,
            self.kv(running, windowed=False),
            self.kv(running, windowed=True),
            self.states(running),
            self.compute(running),
        )
        held = [sum(sizes) for sizes in zip(*parts, strict=True)]
        return [held[0] + self.output(running), *held[1:]]

    @property
    def layers_offloaded(self) -> int:
        """Layers on cards, the output among them."""
        if self.plan.places and not self.alone:
            return self.plan.places.gpu_layers
        return 0 if self.alone else self.spec.num_hidden_layers + 1

    def figures(self, running: Running, names: Sequence[str]) -> LlamaMemory:
        """The figures of the log; `names`: of the places, host memory first."""
        full, windows = (self.kv(running, windowed=windowed) for windowed in (False, True))
        states, compute, held = self.states(running), self.compute(running), self.held(running)
        buffers = [
            LlamaBuffers(
                place=name,
                model_buffer_bytes=self.weights[place],
                kv_buffer_bytes=full[place] + windows[place],
                state_buffer_bytes=states[place],
                compute_buffer_bytes=compute[place],
                output_buffer_bytes=0 if place else self.output(running),
                total_bytes=held[place],
            )
            for place, name in enumerate(names)
        ]
        cells = [cache.cells(self.rules, running.context_len) for cache, _, _ in self.caches]
        narrow = [cache.cells(self.rules, running.context_len) for cache, _, _ in self.caches if cache.window]
        return LlamaMemory(
            model_buffer_bytes=sum(self.weights),
            kv_buffer_bytes=sum(full) + sum(windows),
            kv_full_bytes=sum(full),
            kv_window_bytes=sum(windows),
            state_buffer_bytes=sum(states),
            compute_buffer_bytes=max(compute[1:], default=0) or compute[0],
            host_buffer_bytes=compute[0],
            output_buffer_bytes=self.output(running),
            kv_cells=max(cells, default=0),
            window_cells=max(narrow, default=0),
            sequences=running.sequences,
            ubatch_size=self.rules.ubatch_size,
            flash_attention=self.rules.flash_attention,
            layers_offloaded=self.layers_offloaded,
            layers=self.spec.num_hidden_layers + 1,
            total_bytes=sum(held),
            buffers=buffers,
        )


def _tensors(op: Op) -> int:
    """Tensors that an op's matrices lie in: gate and up are apart."""
    return 2 if op.name.endswith("gate_up_proj") else 1
