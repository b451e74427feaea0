"""Where llama.cpp puts the tensors of a model: which layers, and which of their tensors, lie in host memory.

Facts: llama.cpp src/llama-model.cpp (load_tensors) and common/common.h (the pattern of --cpu-moe).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op, ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import LayerGroup, ModelSpec
from sparsecalc.read.stored.gguf_tensors import layer_slots, outside_slots

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""Tensors that --cpu-moe leaves in host memory: routed experts, not shared ones."""
ALL = 2**16
"""More layers than any model has."""

Key = tuple[object, ...]
Shares = tuple[float, ...]
"""Of an op: in host memory, and on each card in order. A tied table that lies in both adds up to more than 1."""


class Override(Frozen):
    """--override-tensor: tensors whose name the pattern is found in lie there, whatever else is said."""

    pattern: re.Pattern[str]
    place: int
    """0: host memory; 1: the first card."""
    text: str = ""


class LlamaLayers(Frozen):
    """What llama.cpp is told of the placement; by default everything but the input embedding is offloaded."""

    gpu_layers: int = ALL
    """-ngl: the last so many of layers + 1 lie on the cards; the output is the last one."""
    cpu_moe_layers: int = 0
    """-ncmoe: routed experts of the first so many layers lie in host memory."""
    overrides: tuple[Override, ...] = ()
    cards: int = 1
    tensor_split: tuple[float, ...] = ()
    """-ts: proportions of the layers on each card; empty: even ones."""
    keeps_input: bool = True
    """Whether the input embedding lies in host memory whatever else does."""
    by_rows: bool = False
    """-sm row: every card has a part of each matrix."""

    @property
    def rules(self) -> tuple[Override, ...]:
        """All overrides, in the order in which the first one that matches holds: -ot as typed, then -ncmoe's."""
        count = self.cpu_moe_layers
        if count >= ALL:
            return (*self.overrides, Override(pattern=re.compile(EXPERTS), place=0))
        more = (Override(pattern=re.compile(rf"blk\.{at}{EXPERTS}"), place=0) for at in range(count))
        return (*self.overrides, *more)


class Places(Frozen):
    """Shares of each op's weights, by `key_of` the op; of a group's layers, which is where its cache lies."""

    weights: dict[Key, Shares] = field(default_factory=dict)
    output: Shares = (0.0, 1.0)
    """Of what lies outside the layers and is not the input."""
    gpu_layers: int = 0
    """Layers on cards, the output among them, as llama.cpp's log counts them."""
    layers: int = 0
    """All layers, the output among them."""
    busiest_share: float = 1.0
    """Share of the layers on cards that the card with most of them has."""
    visits: int = 0
    """How often a step goes from a card to the host and back: once for its layers, once for others' tensors there."""
    unmatched: tuple[str, ...] = ()
    """Overrides that no tensor's name matches, as typed."""

    @property
    def computes_on_host(self) -> bool:
        """Whether more than the input embedding lies in host memory."""
        return self.visits > 0

    def of(self, op: Op) -> Shares:
        """Of an op's weights."""
        return self.weights.get(key_of(op)) or self.of_cache(op)

    def of_cache(self, op: Op) -> Shares:
        """Of an op's cache and state: those of its layers."""
        return self.weights.get((op.group,), self.output)


def key_of(op: Op) -> Key:
    """What tells an op's tensors from others: its name, shape and formats, in its group of layers."""
    return op.group, op.component, op.name, op.tied, op.rows, op.cols, op.matrices, op.stored_as


def places(spec: ModelSpec, asked: LlamaLayers) -> Places:
    """Where each tensor lies, and each layer's cache.

        first layer on a card = max(layers + 1 - gpu_layers, 0); a layer's card: by its place among the offloaded ones

    The input embedding is always in host memory; a tied one is kept on the output's card too. A cache lies where its
    layer does. -ncmoe and -ot move single tensors.
    """
    count = spec.num_hidden_layers
    layer_of, matched = _layer_places(count, asked), _Matched(asked.rules)
    sums: dict[Key, list[tuple[float, Shares]]] = {}
    for group in spec.layer_groups:
        spots = [layer_of(min(at, count - 1)) for at in group.positions]
        for key, weight, shares in _tensors(group, spec.model_type, spots, matched):
            sums.setdefault(key, []).append((weight, shares))
    output = layer_of(count)
    means = {key: _mean(parts) for key, parts in sums.items()}
    return Places(
        weights=means | _outside(spec, asked, output, matched),
        output=output,
        gpu_layers=min(asked.gpu_layers, count + 1),
        layers=count + 1,
        busiest_share=_busiest([layer_of(at) for at in range(count + 1)]),
        visits=len(matched.host_layers) + (asked.gpu_layers <= count),
        unmatched=matched.unmatched(asked.overrides),
    )


class _Matched:
    """The overrides, and which of them a tensor's name matched."""

    def __init__(self, rules: Sequence[Override]) -> None:
        self.rules, self.seen = rules, set[int]()
        self.host_layers = set[int]()
        """Layers on cards of which a tensor lies in host memory."""

    def place(self, names: Sequence[str]) -> int | None:
        """Where the first rule puts a tensor that may be spelled so; None: no rule holds for it."""
        found = None
        for index, rule in enumerate(self.rules):
            if any(rule.pattern.search(name) for name in names):
                self.seen.add(index)
                found = rule.place if found is None else found
        return found

    def unmatched(self, overrides: Sequence[Override]) -> tuple[str, ...]:
        """The overrides that matched nothing."""
        return tuple(rule.text for index, rule in enumerate(overrides) if index not in self.seen)


def _layer_places(count: int, asked: LlamaLayers) -> Callable[[int], Shares]:
    """Where layer `at` lies; the output is layer `count`."""
    offloaded = min(asked.gpu_layers, count + 1)
    first = count + 1 - offloaded
    given = asked.tensor_split or (1.0,) * asked.cards
    total = sum(given)
    ends = [sum(given[: card + 1]) / total for card in range(asked.cards)]

    def place(at: int) -> Shares:
        if at < first:
            return (1.0, *[0.0] * asked.cards)
        if asked.by_rows:
            return (0.0, *[share / total for share in given])
        card = next((card for card, end in enumerate(ends) if (at - first) / offloaded < end), asked.cards - 1)
        return (0.0, *[float(each == card) for each in range(asked.cards)])

    return place


def _tensors(
    group: LayerGroup, family: str, spots: Sequence[Shares], matched: _Matched
) -> Iterator[tuple[Key, float, Shares]]:
    """The layers of a group, lying at `spots`, and each op's tensors: key, weight in the mean, where they lie."""
    layer = group.layer
    rows = list(ledger(layer.ops(Workload())).stored(group.formats).in_group(layer.label, 1))
    keys: dict[tuple[str, str], Key] = {(op.component, op.name): key_of(op) for op in rows}
    for at, spot in zip(group.positions, spots, strict=True):
        yield (layer.label,), 1.0, spot
        slots = list(layer_slots(rows, layer, family, at)) if matched.rules else []
        for slot in slots:
            place = matched.place(slot.names)
            if place == 0 and not spot[0]:
                matched.host_layers.add(at)
            yield keys[slot.key], slot.elements, _moved(spot, place)
        split = {slot.key for slot in slots}
        for name, key in keys.items():
            if name not in split:
                yield key, 1.0, spot


def _outside(spec: ModelSpec, asked: LlamaLayers, output: Shares, matched: _Matched) -> dict[Key, Shares]:
    """Of tables, final parts and head: inputs in host memory, a tied table on the output's card as well."""
    rows = [op for part in spec.tables for op in part.ops(Workload())]
    tables = ledger(rows).stored(spec.formats)
    host = (1.0, *[0.0] * (len(output) - 1)) if asked.keeps_input else output
    found = {}
    for op in tables:
        both = spec.tie_word_embeddings and op is tables[0] and asked.keeps_input
        found[key_of(op)] = (1.0, *output[1:]) if both else host
    others = [*(op for part in spec.final for op in part.ops(Workload()))]
    rest = ledger(others, spec.head.ops(Workload()) if spec.head else ()).stored(spec.formats)
    found |= {key_of(op): output for op in rest}
    if matched.rules:
        named = {(op.component, op.name): op for op in (*tables, *rest)}
        for slot in outside_slots(list(named.values())):
            other = matched.place(slot.names)
            if other is not None:
                key = key_of(named[slot.key])
                found[key] = _moved(found[key], other)
    return found


def _busiest(spots: Sequence[Shares]) -> float:
    sums = [sum(card) for card in zip(*spots, strict=True)][1:]
    return max(sums) / sum(sums) if sum(sums) else 1.0


def _moved(place: Shares, other: int | None) -> Shares:
    return place if other is None else tuple(float(index == other) for index in range(len(place)))


def _mean(parts: Sequence[tuple[float, Shares]]) -> Shares:
    total, width = sum(weight for weight, _ in parts), len(parts[0][1])
    return tuple(sum(weight * shares[at] for weight, shares in parts) / total for at in range(width))
