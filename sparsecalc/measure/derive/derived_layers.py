"""Layers from measured weights, calls and caches: which part of a layer holds what."""

import re
from collections.abc import Sequence

from torch import nn

from sparsecalc.core.components import Component
from sparsecalc.measure.derive.cache_traces import HeldCache
from sparsecalc.measure.derive.layer_places import Place
from sparsecalc.measure.derive.stored_weights import StoredWeights, short_name
from sparsecalc.measure.derive.traces import Traces
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.derived_parts import (
    DerivedAttention,
    DerivedExperts,
    DerivedMlp,
    DerivedRecurrent,
    Scores,
    Weights,
)
from sparsecalc.model.spec import Layer

_DELTA = re.compile(r"Delta|KDA")
_FEED_FORWARD: tuple[Component, ...] = ("dense_ffn", "router", "routed_experts", "shared_experts")


def derived_layers(model: nn.Module, stored: list[StoredWeights], traces: Traces) -> list[Layer]:
    """All layers in order, an encoder's first."""
    places: dict[Place, list[Weights]] = {}
    for entry in stored:
        if entry.place is not None:
            places.setdefault(entry.place, []).append(entry.weights)
    delta = any(_DELTA.search(type(module).__name__) for module in model.modules())
    ordered = sorted(places, key=lambda place: (place.stack != "encoder", place.position))
    return [_layer(place, places[place], traces, delta) for place in ordered]


def _layer(place: Place, weights: list[Weights], traces: Traces, delta: bool) -> Layer:
    held = traces.held.get(place, HeldCache())
    attention = _attention(place, _of(weights, "attention"), held, traces)
    recurrent = _recurrent(_of(weights, "state_space"), held, delta)
    feed_forward = _of(weights, *_FEED_FORWARD)
    sparse = any(part.component == "routed_experts" for part in feed_forward)
    mlp = DerivedExperts(weights=feed_forward) if sparse else DerivedMlp(weights=feed_forward)
    norms = _of(weights, "norm")
    others = (*(part for part in norms if not _norm(part)), *_of(weights, "other", "embedding"))
    return Layer(
        mixers=tuple(mixer for mixer in (attention, recurrent) if mixer),
        feed_forwards=(mlp,) if feed_forward else (),
        norms=tuple(norm for norm in map(_norm, norms) if norm),
        extras=(*others, *_products(place, traces)),
        stack="encoder" if place.stack == "encoder" else "decoder",
    )


def _of(weights: list[Weights], *components: Component) -> tuple[Weights, ...]:
    return tuple(part for part in weights if part.component in components)


def _recurrent(weights: tuple[Weights, ...], held: HeldCache, delta: bool) -> DerivedRecurrent | None:
    """The recurrent mixer; None where neither weights nor states show one."""
    if not (weights or held.state or held.conv_state):
        return None
    return DerivedRecurrent(
        weights=weights,
        state=held.state,
        products=(3 if delta else 2) if held.contracted else 0,
        state_is_fp32=held.fp32,
        conv_state=held.conv_state,
    )


def _norm(part: Weights) -> Norm | None:
    """A gain or a bias of a norm; None for anything with a matrix."""
    return None if part.matrices else Norm(name=part.name, size=part.vectors)


def _attention(place: Place, weights: tuple[Weights, ...], held: HeldCache, traces: Traces) -> DerivedAttention | None:
    """The attention; None where neither weights, calls nor a cache show one."""
    calls = traces.calls.get(place, [])
    scores = [
        Scores(
            num_attention_heads=call.num_attention_heads,
            head_dim=call.head_dim,
            v_head_dim=call.v_head_dim,
            sliding_window=call.sliding_window,
            attention_chunk_size=call.attention_chunk_size,
            causal=call.causal,
        )
        for call in calls
    ]
    own = sum(pairs for (where, _), pairs in traces.pairs.items() if where == place)
    if own:
        name = "indexer.scores" if calls else "scores_and_values"
        scores.append(Scores(name=name, num_attention_heads=1, head_dim=own // 2, v_head_dim=0))
    bounds = [call.sliding_window or call.attention_chunk_size for call in calls if call.causal and not call.indexed]
    window = bounds[0] if bounds and None not in bounds else None
    expanded = [part for part in weights if part.flops_per_context_token]
    latent = expanded[0].cols if len(expanded) == 1 and calls and held.per_token >= expanded[0].cols else 0
    attention = DerivedAttention(
        weights=weights,
        scores=tuple(scores),
        cache_per_token=held.per_token,
        cache_window=(held.window or window) if held.per_token else None,
        index_per_token=held.index_per_token,
        latent_rank=latent,
    )
    return None if attention == DerivedAttention() else attention


def _products(place: Place | None, traces: Traces) -> list[Weights]:
    """Products of activations, without stored weights."""
    return [
        Weights(name=f"{short_name(module)}: product", component="other", flops_per_token=flops)
        for (where, module), flops in traces.unweighted.items()
        if where == place
    ]


def final_parts(stored: Sequence[StoredWeights], traces: Traces) -> tuple[Norm | Weights, ...]:
    """Everything outside the layers but tables and the LM head."""
    rest = [entry.weights for entry in stored if entry.place is None]
    parts = [(_norm(part) or part) if part.component == "norm" else part for part in rest]
    return (*parts, *_products(None, traces))
