"""How devices are to share a model and in which formats, as it is asked: one way, or several side by side."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.decide.asked_host import HostAsked
from sparsecalc.decide.asked_parts import Offload
from sparsecalc.decide.lists_of_words import formats


class Formats(Frozen):
    """Number formats of weights and KV cache by name; None: the model's own, and bf16."""

    dtype: str | None = None
    kv_cache_dtype: str | None = None


class Parallelism(Frozen):
    """How devices are to share a model; what is None follows from the rest."""

    num_gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    expert_parallel: bool = False
    """Whole experts on each device (vLLM's --enable-expert-parallel): ep = tp * dp, where `ep` is not given."""
    eplb_replicas: int | None = None
    offload: Offload = Offload()
    host: HostAsked = HostAsked()
    """What llama.cpp is told of the placement, and the host."""

    @property
    def num_devices(self) -> int:
        """Devices in all, as far as they are told."""
        return self.num_gpus or (self.tp or 1) * (self.pp or 1) * (self.dp or 1)

    def without_experts(self) -> "Parallelism":
        """As many devices for a dense model."""
        offload = Offload() if self.offload.what == "experts" else self.offload
        return Parallelism(num_gpus=self.num_devices, offload=offload, host=self.host.for_dense())


class AskedLayout(Frozen):
    """One way of several to lay a model out: how devices share it, and in which formats."""

    parallelism: Parallelism
    formats: Formats


def asked_layouts(
    degrees: Mapping[str, Any], dtype: str | None, kv_cache_dtype: str | None, same: Mapping[str, Any]
) -> tuple[AskedLayout, ...]:
    """Every combination of the degrees of parallelism, each a number or several, and of the weights' formats.

    `dtype`: of the weights, several between commas; `same`: other fields of `Parallelism`.
    """
    return tuple(
        AskedLayout(
            parallelism=Parallelism(**dict(zip(degrees, each, strict=True)), **same),
            formats=Formats(dtype=fmt, kv_cache_dtype=kv_cache_dtype),
        )
        for each in product(*map(_several, degrees.values()))
        for fmt in (formats(dtype) if dtype else (None,))
    )


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)
