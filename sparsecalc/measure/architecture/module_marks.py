"""Marks before and after modules of a real model, which tell how long each took in the last step."""

import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class MarkedModule(Generic[Key]):
    """A module whose time counts for `key`."""

    key: Key
    module: nn.Module


class ModuleMarks(Generic[Key]):
    """Hooks that note when each module starts and ends; on CUDA with events, which a captured graph records too."""

    def __init__(self, marked: list[MarkedModule[Key]], device: torch.device) -> None:
        self.on_cuda, self.on_mps = device.type == "cuda", device.type == "mps"
        self.starts: dict[int, Any] = {}
        self.spans: list[tuple[Key, Any, Any]] = []
        self.hooks = []
        for index, each in enumerate(marked):
            self.hooks.append(each.module.register_forward_pre_hook(self._start(index), prepend=True))
            self.hooks.append(each.module.register_forward_hook(self._end(index, each.key)))

    def clear(self) -> None:
        """Forget the spans of the step before; call it where the step starts."""
        self.spans.clear()

    def seconds(self) -> dict[Key, float]:
        """Seconds of the last step by key, added up over the modules of the same key."""
        sums: dict[Key, float] = {}
        for key, start, end in self.spans:
            sums[key] = sums.get(key, 0.0) + (start.elapsed_time(end) / 1e3 if self.on_cuda else end - start)
        return sums

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self.hooks:
            hook.remove()

    def _now(self) -> Any:
        if self.on_cuda:
            event = torch.cuda.Event(enable_timing=True, external=True)
            event.record()
            return event
        if self.on_mps:
            torch.mps.synchronize()
        return time.perf_counter()

    def _start(self, index: int) -> Any:
        def start(module: nn.Module, args: Any) -> None:
            self.starts[index] = self._now()

        return start

    def _end(self, index: int, key: Key) -> Any:
        def end(module: nn.Module, args: Any, output: Any) -> None:
            self.spans.append((key, self.starts[index], self._now()))

        return end
