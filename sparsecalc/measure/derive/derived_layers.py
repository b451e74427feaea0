"""Layers from measured weights, calls and caches: which part of a layer holds what."""

import re
from collections.abc import Sequence

from torch import nn

from sparsecalc.core.components import Component
from sparsecalc.measure.derive.stored_weights import Stored, short_name
from sparsecalc.measure.derive.traces import Held, Traces
from sparsecalc.measure.derive.watched_pass import Place
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


def measured_layers(model: nn.Module, stored: list[Stored], traces: Traces) -> list[Layer]:
    """All layers in order, an encoder's first."""
    places: dict[Place, list[Weights]] = {}
    for entry in stored:
        if entry.place is not None:
            places.setdefault(entry.place, []).append(entry.weights)
    delta = any(_DELTA.search(type(module).__name__) for module in model.modules())
    ordered = sorted(places, key=lambda place: (place[0] != "encoder", place[1]))
    return [_layer(place, places[place], traces, delta) for place in ordered]


def _layer(place: Place, weights: list[Weights], traces: Traces, delta: bool) -> Layer:
    def of(*components: Component) -> tuple[Weights, ...]:
        return tuple(part for part in weights if part.component in components)

    held = traces.held.get(place, Held())
    mixers: list[DerivedAttention | DerivedRecurrent] = []
    attention = _attention(place, of("attention"), held, traces)
    if attention != DerivedAttention():
        mixers.append(attention)
    if of("state_space") or held.state or held.conv_state:
        products = (3 if delta else 2) if held.contracted else 0
        recurrent = DerivedRecurrent(
            weights=of("state_space"),
            state=held.state,
            products=products,
            state_is_fp32=held.fp32,
            conv_state=held.conv_state,
        )
        mixers.append(recurrent)
    feed_forward = of(*_FEED_FORWARD)
    sparse = any(part.component == "routed_experts" for part in feed_forward)
    mlp = DerivedExperts(weights=feed_forward) if sparse else DerivedMlp(weights=feed_forward)
    return Layer(
        mixers=tuple(mixers),
        feed_forwards=(mlp,) if feed_forward else (),
        norms=tuple(norm for norm in map(_norm, of("norm")) if norm),
        extras=(*(part for part in of("norm") if not _norm(part)), *of("other", "embedding"), *_loose(place, traces)),
        stack="encoder" if place[0] == "encoder" else "decoder",
    )


def _norm(part: Weights) -> Norm | None:
    """A gain or a bias of a norm; None for anything with a matrix."""
    return None if part.matrices else Norm(name=part.name, size=part.vectors)


def _attention(place: Place, weights: tuple[Weights, ...], held: Held, traces: Traces) -> DerivedAttention:
    calls = traces.calls.get(place, [])
    scores = [
        Scores(
            num_attention_heads=call.heads,
            head_dim=call.width,
            v_head_dim=call.value_width,
            sliding_window=call.window,
            attention_chunk_size=call.chunk,
            causal=call.causal,
        )
        for call in calls
    ]
    own = sum(pairs for (where, _), pairs in traces.pairs.items() if where == place)
    if own:
        name = "indexer.scores" if calls else "scores_and_values"
        scores.append(Scores(name=name, num_attention_heads=1, head_dim=own // 2, v_head_dim=0))
    bounds = [call.window or call.chunk for call in calls if call.causal and not call.indexed]
    window = bounds[0] if bounds and None not in bounds else None
    expanded = [part for part in weights if part.flops_per_context_token]
    latent = expanded[0].cols if len(expanded) == 1 and calls and held.per_token >= expanded[0].cols else 0
    return DerivedAttention(
        weights=weights,
        scores=tuple(scores),
        cache_per_token=held.per_token,
        cache_window=(held.window or window) if held.per_token else None,
        index_per_token=held.index_per_token,
        latent_rank=latent,
    )


def _loose(place: Place | None, traces: Traces) -> list[Weights]:
    """Products of activations, without stored weights."""
    return [
        Weights(name=f"{short_name(module)}: product", component="other", flops_per_token=flops)
        for (where, module), flops in traces.loose.items()
        if where == place
    ]


def final_parts(stored: Sequence[Stored], traces: Traces) -> tuple[Norm | Weights, ...]:
    """What stands outside the layers, but tables and the LM head."""
    rest = [entry.weights for entry in stored if entry.place is None]
    found = [(_norm(part) or part) if part.component == "norm" else part for part in rest]
    return (*found, *_loose(None, traces))
