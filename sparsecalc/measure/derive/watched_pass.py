"""A real forward pass on the meta device: which stored tensor is multiplied, in which layer, with how many FLOPs.

A dispatch mode sees every matrix product. A tensor that is a view, a transpose or a cast of a parameter is still that
parameter, so that a product's FLOPs belong to the very tensor that is stored, whatever module multiplies it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sparsecalc.measure.architecture.attention_tally import AttentionTally
from sparsecalc.measure.architecture.meta_pass import run_on_meta
from sparsecalc.measure.architecture.model_inputs import cache_of, text_config
from sparsecalc.measure.derive.layer_places import Place, layer_finder

aten = torch.ops.aten
_SAME_ELEMENTS = {
    *(aten.t, aten.transpose, aten.permute, aten.view, aten._unsafe_view, aten.reshape, aten.expand, aten.alias),
    *(aten.select, aten.slice, aten.unsqueeze, aten.squeeze, aten.split, aten.split_with_sizes, aten.unbind),
    *(aten._to_copy, aten.clone, aten.detach, aten.as_strided, aten.narrow, aten.chunk, aten.unflatten),
}
"""Operations whose result is the same weight, or a part of it."""


@dataclass(frozen=True)
class AttentionCall:
    """One call of an attention function."""

    place: Place | None
    num_attention_heads: int
    head_dim: int
    v_head_dim: int
    sliding_window: int | None
    attention_chunk_size: int | None
    causal: bool
    indexed: bool
    """Whether an indexer picks the tokens that are attended to."""
    pooled: bool
    """Whether far tokens are attended to in compressed entries."""


@dataclass
class WatchedPass:
    """What one forward pass did."""

    weights: dict[tuple[Place | None, str], int] = field(default_factory=dict)
    """FLOPs by layer in which a parameter was multiplied and the parameter's name."""
    inner: dict[str, int] = field(default_factory=dict)
    """The width of the input that each parameter was multiplied with."""
    unweighted: dict[tuple[Place | None, str], int] = field(default_factory=dict)
    """FLOPs of products without a parameter, by layer and module."""
    calls: list[AttentionCall] = field(default_factory=list)


class _CallRecorder(AttentionTally):
    """A tally that also keeps each call."""

    def __init__(self, model: nn.Module, past: int, watch: "_ProductWatch") -> None:
        super().__init__(text_config(model), past)
        self.watch = watch

    def attend(self, module: nn.Module, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> Any:
        given = {name: more[name] for name in ("sliding_window",) if name in more}
        window, chunk = self.limits(module, **given)
        call = AttentionCall(
            place=self.watch.place(),
            num_attention_heads=query.shape[1],
            head_dim=query.shape[-1],
            v_head_dim=value.shape[-1],
            sliding_window=window,
            attention_chunk_size=chunk,
            causal=bool(getattr(module, "is_causal", True)),
            indexed=self._kind(module) == "indexed_attention",
            pooled=getattr(getattr(module, "compressor", None), "compress_rate", None) is not None,
        )
        self.watch.done.calls.append(call)
        return super().attend(module, query, key, value, *rest, **more)


class _ProductWatch(TorchDispatchMode):  # type: ignore[misc]
    """Adds up products by the parameter that they multiply."""

    def __init__(self, model: nn.Module, done: WatchedPass) -> None:
        super().__init__()
        self.done, self.find = done, layer_finder(model)
        self.names = {id(module): name for name, module in model.named_modules()}
        self.modules = dict(model.named_modules())
        self.known = {id(tensor): (tensor, name) for name, tensor in model.named_parameters()}
        self.stack: list[str] = []

    def place(self) -> Place | None:
        """The layer that is running."""
        return next((place for name in self.stack if (place := self.find(name))), None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in flop_registry and func is not torch.ops.prim.device.default:
            with self:
                decomposed = func.decompose(*args, **kwargs)
                if decomposed is not NotImplemented:
                    return decomposed
        result = func(*args, **kwargs)
        if packet in flop_registry:
            self._add(flop_registry[packet](*args, **kwargs, out_val=result), packet, args)
        elif packet in _SAME_ELEMENTS and id(args[0]) in self.known:
            name = self.known[id(args[0])][1]
            for tensor in result if isinstance(result, list | tuple) else (result,):
                self.known[id(tensor)] = (tensor, name)
        return result

    def _add(self, flops: int, packet: Any, args: Any) -> None:
        tensors = [given for given in args if isinstance(given, torch.Tensor)]
        factors = tensors[1:] if packet in (aten.addmm, aten.baddbmm) else tensors[:2]
        names = [self.known[id(given)][1] for given in factors if id(given) in self.known]
        module = self.stack[-1] if self.stack else ""
        name = names[0] if len(names) == 1 else self._own_matrix(module, factors)
        if name is None:
            key = (self.place(), module)
            self.done.unweighted[key] = self.done.unweighted.get(key, 0) + flops
            return
        self.done.weights[self.place(), name] = self.done.weights.get((self.place(), name), 0) + flops
        self.done.inner[name] = factors[0].shape[-1]

    def _own_matrix(self, module: str, factors: list[torch.Tensor]) -> str | None:
        """The only matrix of the running module, where its shape says that it is the one multiplied."""
        own = [(name, t) for name, t in self.modules[module].named_parameters(recurse=False) if t.dim() == 2]
        if len(own) == 1 and any(sorted(own[0][1].shape) == sorted(given.shape) for given in factors):
            return self.known[id(own[0][1])][1]
        return None


def watched_pass(model: nn.Module, new_tokens: int, past: int = 0, cache: Any = None) -> tuple[WatchedPass, Any]:
    """One forward pass of one sequence, and the cache that it leaves. Raises CountingError where it does not run."""
    done = WatchedPass()
    watch = _ProductWatch(model, done)
    output = run_on_meta(model, _CallRecorder(model, past, watch), _watching(watch), new_tokens, cache)
    return done, cache_of(output)


@contextmanager
def _watching(watch: _ProductWatch) -> Iterator[None]:
    """The mode, and hooks that tell it which module runs."""

    def enter(module: nn.Module, args: Any) -> None:
        watch.stack.append(watch.names.get(id(module), ""))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        watch.stack.pop()

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        with watch:
            yield
    finally:
        for hook in hooks:
            hook.remove()
