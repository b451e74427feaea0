"""What three forward passes tell: FLOPs of each weight per token and per context token, attention calls, caches."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sparsecalc.measure.architecture.meta_pass import CountingError
from sparsecalc.measure.architecture.tensor_components import ATTENTION, RECURRENT
from sparsecalc.measure.derive.cache_traces import PROMPTS, HeldCache, held_caches
from sparsecalc.measure.derive.layer_places import Place
from sparsecalc.measure.derive.watched_pass import AttentionCall, WatchedPass, watched_pass

Key = tuple[Place | None, str]
"""A layer (None: outside of them) and the name of a parameter or module."""


@dataclass
class Traces:
    """All that was measured, and in words what was not."""

    ran: bool = True
    weights: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """FLOPs per new token, and per token of the context."""
    inner: dict[str, int] = field(default_factory=dict)
    """The width of the input that each parameter was multiplied with."""
    unweighted: dict[Key, int] = field(default_factory=dict)
    """FLOPs per token of products without weights."""
    pairs: dict[Key, int] = field(default_factory=dict)
    """FLOPs per query-key pair of scores that a module multiplies by itself."""
    calls: dict[Place, list[AttentionCall]] = field(default_factory=dict)
    held: dict[Place, HeldCache] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def miss(self, text: str) -> None:
        """Say once what was not measured."""
        if text not in self.left_out:
            self.left_out.append(text)

    def add_weight(self, key: Key, prompts: list[int], step: int | None) -> None:
        """FLOPs of a parameter in both prompts and in the decode step: a * T + c * S."""
        per_token, problem = flops_per_token(prompts, step)
        self.weights[key] = per_token
        if problem:
            self.miss(f"FLOPs of {key[1]} {problem}")

    def add_unweighted(self, key: Key, prompts: list[int], step: int | None, *, is_attention: bool) -> None:
        """FLOPs of a module's products without weights: pairs * T * S + b * T, pairs only where it is attention."""
        per_pair, per_token = flops_per_pair(prompts)
        whole = per_pair.is_integer() and per_token.is_integer() and per_pair >= 0 and per_token >= 0
        expected = per_pair * (PROMPTS[1] + 1) + per_token
        if not whole or (step is not None and step != expected) or (per_pair and not is_attention):
            self.miss(f"products without weights in {key[1] or 'the model'}")
            return
        if per_pair:
            self.pairs[key] = int(per_pair)
        if per_token:
            self.unweighted[key] = int(per_token)

    def add_call(self, call: AttentionCall) -> None:
        """One call of an attention function."""
        if call.place is None:
            self.miss("attention outside the layers")
        else:
            self.calls.setdefault(call.place, []).append(call)


def flops_per_token(prompts: list[int], step: int | None) -> tuple[tuple[int, int], str]:
    """a and c of flops = a * T + c * S, and what contradicts that, if anything does.

    From both prompts, where T = S, and the decode step (if it ran), whose one token sees S = the longer prompt and
    itself.
    """
    (first, second), (short, long) = prompts, PROMPTS
    both, rest = divmod(second - first, long - short)
    if rest or first != short * both:
        return (second // long, 0), "do not grow evenly with the tokens"
    if not step:
        return (both, 0), ""
    context, uneven = divmod(step - both, long)
    if uneven or context < 0:
        return (both, 0), "in a decode step"
    return (both - context, context), ""


def flops_per_pair(prompts: list[int]) -> tuple[float, float]:
    """p and b of flops = p * T * S + b * T, from both prompts, where T = S."""
    (first, second), (short, long) = prompts, PROMPTS
    low, high = first / short, second / long
    per_pair = (high - low) / (long - short)
    return per_pair, low - per_pair * short


def trace(model: nn.Module) -> Traces:
    """Run the model on meta; where it does not run, the traces say so and are empty."""
    traces = Traces()
    try:
        short, early = watched_pass(model, PROMPTS[0])
        long, cache = watched_pass(model, PROMPTS[1])
    except CountingError as error:
        return Traces(ran=False, left_out=[f"FLOPs of attention, state updates and the cache: {error}"])
    traces.held = held_caches(model, early, cache, traces.miss)
    step = _decode(model, cache, traces)
    traces.inner = long.inner
    _add_products(traces, dict(model.named_modules()), (short, long), step)
    for call in long.calls:
        traces.add_call(call)
    if any(call.pooled for call in long.calls):
        traces.miss("attention over pooled entries of the far context")
    return traces


def _decode(model: nn.Module, cache: Any, traces: Traces) -> WatchedPass | None:
    if cache is None:
        traces.miss("decode step and cache: the forward pass leaves no cache")
        return None
    try:
        return watched_pass(model, 1, PROMPTS[1], cache)[0]
    except CountingError as error:
        traces.miss(f"decode step: {error}")
        return None


def _add_products(
    traces: Traces, modules: dict[str, nn.Module], prompts: tuple[WatchedPass, WatchedPass], step: WatchedPass | None
) -> None:
    for key in dict.fromkeys((*prompts[0].weights, *prompts[1].weights)):
        if isinstance(modules[key[1].rpartition(".")[0]], nn.Conv1d | nn.Conv2d):
            continue  # by formula: padding is multiplied, too
        in_step = step.weights.get(key, 0) if step else None
        traces.add_weight(key, [each.weights.get(key, 0) for each in prompts], in_step)
    for key in prompts[1].unweighted:
        module_class = type(modules[key[1]]).__name__
        if RECURRENT.search(module_class):
            continue
        in_step = step.unweighted.get(key, 0) if step else None
        flops = [each.unweighted.get(key, 0) for each in prompts]
        traces.add_unweighted(key, flops, in_step, is_attention=bool(ATTENTION.search(module_class)))
