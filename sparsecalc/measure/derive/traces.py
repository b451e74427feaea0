"""What three forward passes tell: FLOPs of each weight per token and per context token, attention calls, caches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sparsecalc.measure.architecture.meta_model import ATTENTION, RECURRENT
from sparsecalc.measure.architecture.meta_pass import CountingError
from sparsecalc.measure.derive.watched_pass import Call, Place, Seen, layer_finder, observe

PROMPTS = (12, 40)
"""Lengths of the two prompts; one decode step follows the second. verify counts at other lengths."""
_ELEMENTWISE = 2
"""Dimensions of a state (batch, channels) that nothing is multiplied with."""


@dataclass
class Held:
    """What a layer's part of the cache holds for one sequence."""

    per_token: int = 0
    window: int | None = None
    index_per_token: int = 0
    state: int = 0
    contracted: bool = True
    fp32: bool = False
    conv_state: int = 0


@dataclass
class Traces:
    """All that was measured, and in words what was not."""

    ran: bool = True
    weights: dict[tuple[Place | None, str], tuple[int, int]] = field(default_factory=dict)
    """FLOPs per new token, and per token of the context."""
    inner: dict[str, int] = field(default_factory=dict)
    loose: dict[tuple[Place | None, str], int] = field(default_factory=dict)
    """FLOPs per token of products without weights."""
    pairs: dict[tuple[Place | None, str], int] = field(default_factory=dict)
    """FLOPs per query-key pair of scores that a module multiplies by itself."""
    calls: dict[Place, list[Call]] = field(default_factory=dict)
    held: dict[Place, Held] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def miss(self, text: str) -> None:
        """Say once what was not measured."""
        if text not in self.left_out:
            self.left_out.append(text)


def trace(model: nn.Module) -> Traces:
    """Run the model on meta; where it does not run, the traces say so and are empty."""
    found = Traces()
    try:
        short, early = observe(model, PROMPTS[0])
        long, cache = observe(model, PROMPTS[1])
    except CountingError as error:
        return Traces(ran=False, left_out=[f"FLOPs of attention, state updates and the cache: {error}"])
    find = layer_finder(model)
    held = _caches(model, find, early, cache, found)
    step = _decode(model, cache, found)
    found.inner = long.inner
    modules = dict(model.named_modules())
    for key in dict.fromkeys((*short.weights, *long.weights)):
        if isinstance(modules[key[1].rpartition(".")[0]], nn.Conv1d | nn.Conv2d):
            continue  # by formula: padding is multiplied, too
        times = [seen.weights.get(key, 0) for seen in (short, long)]
        found.weights[key] = _per_token(times, step.weights.get(key, 0) if step else None, key[1], found)
    for key in long.loose:
        kind = type(modules[key[1]]).__name__
        if not RECURRENT.search(kind):
            times = [seen.loose.get(key, 0) for seen in (short, long)]
            _add_loose(key, times, step.loose.get(key, 0) if step else None, bool(ATTENTION.search(kind)), found)
    for call in long.calls:
        if call.place is None:
            found.miss("attention outside the layers")
        else:
            found.calls.setdefault(call.place, []).append(call)
    found.held = held
    if any(call.pooled for call in long.calls):
        found.miss("attention over pooled entries of the far context")
    return found


def _decode(model: nn.Module, cache: Any, found: Traces) -> Seen | None:
    if cache is None:
        found.miss("decode step and cache: the forward pass leaves no cache")
        return None
    try:
        return observe(model, 1, PROMPTS[1], cache)[0]
    except CountingError as error:
        found.miss(f"decode step: {error}")
        return None


def _per_token(times: list[int], step: int | None, name: str, found: Traces) -> tuple[int, int]:
    """a and c of flops = a * T + c * S, from both prompts (T = S) and the step of one token that sees S."""
    (first, second), (short, long) = times, PROMPTS
    both, rest = divmod(second - first, long - short)
    if rest or first != short * both:
        found.miss(f"FLOPs of {name} do not grow evenly with the tokens")
        return second // long, 0
    if not step:
        return both, 0
    context, uneven = divmod(step - both, long)
    if uneven or context < 0:
        found.miss(f"FLOPs of {name} in a decode step")
        return both, 0
    return both - context, context


def _add_loose(
    key: tuple[Place | None, str], times: list[int], step: int | None, is_attention: bool, found: Traces
) -> None:
    """Split flops = a * T * S + b * T; scores only where the module is attention."""
    (first, second), (short, long) = times, PROMPTS
    low, high = first / short, second / long
    pairs = (high - low) / (long - short)
    tokens = low - pairs * short
    fits = pairs.is_integer() and tokens.is_integer() and pairs >= 0 and tokens >= 0
    if not fits or (step is not None and step != pairs * (long + 1) + tokens) or (pairs and not is_attention):
        found.miss(f"products without weights in {key[1] or 'the model'}")
        return
    if pairs:
        found.pairs[key] = int(pairs)
    if tokens:
        found.loose[key] = int(tokens)


def _caches(model: nn.Module, find: Any, early: Any, late: Any, found: Traces) -> dict[Place, Held]:
    """Each layer's part of the cache, told from the caches after both prompts."""
    if late is None:
        return {}
    slots = _slots(model, find)
    held: dict[Place, Held] = {}
    if not getattr(late, "layers", None):
        _share(late, slots, held, found)
        return held
    order = list(dict.fromkeys(slots.values()))
    for index, layer in enumerate(late.layers):
        if not order:
            found.miss("the cache: it belongs to no layer")
            break
        place = slots.get(index, order[index % len(order)])  # layers that run in cycles keep a cache for each cycle
        _add_slot(held.setdefault(place, Held()), early.layers[index], layer, found)
    return held


def _slots(model: nn.Module, find: Any) -> dict[int, Place]:
    """Which layer each part of the cache belongs to: what the layers' modules say, else the order."""
    slots: dict[int, Place] = {}
    places: list[Place] = []
    for name, module in model.named_modules():
        place = find(name)
        if place is None or place[0] != "decoder":
            continue
        places += [place] if place not in places else []
        index = vars(module).get("layer_idx")
        if isinstance(index, int):
            slots.setdefault(index, place)
    return slots or dict(enumerate(places))


def _add_slot(held: Held, early: Any, late: Any, found: Traces) -> None:
    before = dict(_named_tensors(early))
    for name, tensor in _named_tensors(late):
        if name in ("keys", "values", "compressed_kv") or "index" in name:
            per_token, window = _growth(before.get(name), tensor, getattr(late, "sliding_window", None))
            if per_token is None:
                found.miss(f"growth of the cache's {name}")
            elif "index" in name:
                held.index_per_token += per_token
            else:
                held.per_token, held.window = held.per_token + per_token, window
        elif "state" in name:
            _add_state(held, name, tensor)


def _growth(early: Any, late: torch.Tensor, own_window: int | None) -> tuple[int | None, int | None]:
    """Elements per token, and the window; None where the tensor does not grow along its second last dimension.

    A filled window of W tokens is kept as W - 1, to which the next token is added.
    """
    if not late.numel():
        return 0, None
    if late.dim() < 2 or early is None:
        return None, None
    short, long = early.shape[-2], late.shape[-2]
    per_token = late.numel() // long
    expected = [min(length, own_window - 1) if own_window else length for length in PROMPTS]
    if [short, long] != expected:
        return None, None
    return per_token, own_window


def _add_state(held: Held, name: str, tensor: torch.Tensor) -> None:
    if "conv" in name:
        held.conv_state += tensor.numel()
        return
    held.state += tensor.numel()
    held.contracted = tensor.dim() > _ELEMENTWISE
    held.fp32 = tensor.dtype == torch.float32


def _share(cache: Any, slots: dict[int, Place], held: dict[Place, Held], found: Traces) -> None:
    """A cache that is not kept by layer: equal shares, where they are equal."""
    tensors = list(_named_tensors(cache))
    places = list(dict.fromkeys(slots.values()))
    for name, tensor in tensors:
        if not places or tensor.numel() % len(places):
            found.miss(f"the cache's {name}")
            continue
        for place in places:
            mine = held.setdefault(place, Held(contracted=False))
            mine.state += tensor.numel() // len(places)
            mine.fp32 = mine.fp32 or tensor.dtype == torch.float32


def _named_tensors(holder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in vars(holder).items():
        yield from ((name, tensor) for tensor in _tensors(value) if not name.startswith("_"))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.dim() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
