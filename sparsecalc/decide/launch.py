"""What an engine is told so that it serves a model in a layout: the same for every engine."""

from math import ceil
from typing import TypedDict

from sparsecalc.core.frozen import Frozen


class How(TypedDict, total=False):
    """The keywords of `run_command`: the fields of `Launch` but the model."""

    tp: int
    pp: int
    dp: int
    ep: int
    is_moe: bool
    eplb_replicas: int | None
    quantization: str | None
    kv_cache_dtype: str | None
    max_model_len: int | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    gpu_memory_utilization: float | None
    num_nodes: int


class Launch(Frozen):
    """One copy of a model as an engine is to serve it; num_gpus = tp * pp * dp."""

    model: str
    """A Hub id, or a folder or file on the server."""
    tp: int = 1
    pp: int = 1
    dp: int = 1
    """Copies of the attention."""
    ep: int = 1
    """Groups that whole experts are dealt out to; 1: each expert is split over all devices of a stage."""
    is_moe: bool = False
    eplb_replicas: int | None = None
    """Redundant experts; None: no balancer."""
    quantization: str | None = None
    """What the engine is to make of 16-bit weights while it loads them; None: they stay as published."""
    kv_cache_dtype: str | None = None
    """None: as the engine has it by default, 16 bits or what the checkpoint says."""
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    """Sequences that run at once, in all copies of the attention together."""
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    num_nodes: int = 1

    @property
    def num_gpus(self) -> int:
        """Devices of one copy."""
        return self.tp * self.pp * self.dp

    @property
    def sequences_per_copy(self) -> int | None:
        """`max_num_seqs` of each copy of the attention."""
        return None if self.max_num_seqs is None else ceil(self.max_num_seqs / self.dp)
