"""How a model is split over devices: tensor, expert, pipeline parallelism, data-parallel attention, host memory."""

from math import ceil
from typing import Literal

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op
from sparsecalc.estimate.host import Host
from sparsecalc.estimate.places import Places
from sparsecalc.model.spec import ModelSpec


class Placement(Frozen):
    """num_gpus = tp * pp * dp. Experts lie on ep groups of tp * dp / ep devices, each expert split over its group.

    tp splits matrices and heads, pp layers, dp the sequences of the attention; sources: arXiv:1909.08053 (tensor),
    arXiv:2006.16668 (expert), DeepSeek-V3 report section 3.4 (data-parallel attention).
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    """Copies of the attention, each with its own sequences (attention data parallelism)."""
    ep: int = 1
    eplb_replicas: int | None = None
    """Redundant experts that a load balancer places (EPLB); None: no balancer."""
    offload: Literal["none", "experts", "layers"] = "none"
    """What lies in host memory."""
    offload_share: float = 0.0
    """Which share of it: of each layer's experts, the least used first; or of the layers."""
    places: Places | None = None
    """Where llama.cpp puts each tensor; None: everything on the devices, but what `offload` says."""
    host: Host | None = None
    """The machine around the devices; None: nothing lies in its memory, and it computes nothing."""

    @property
    def num_gpus(self) -> int:
        """Devices in all."""
        return self.tp * self.pp * self.dp

    @property
    def micro_batches(self) -> int:
        """Parts of a batch that pass the stages one behind the other: llama.cpp's cards take turns instead."""
        return 1 if self.cards > 1 else self.pp

    @property
    def cards(self) -> int:
        """Devices that llama.cpp tells apart; 1: all hold the same share."""
        return len(self.places.output) - 1 if self.places else 1

    @property
    def moe_tp(self) -> int:
        """Devices that share one expert."""
        return self.tp * self.dp // self.ep

    @property
    def name(self) -> str:
        """`tp 4, ep 4`, without what is 1."""
        parts = [f"{key} {getattr(self, key)}" for key in ("tp", "pp", "dp", "ep") if getattr(self, key) > 1]
        return ", ".join(parts) or "one device"

    def ways(self, op: Op) -> float:
        """Devices of one stage among which the op's weights or cache are split; the others hold copies.

        Key-value heads (`shards`) are copied where there are fewer than devices, as vLLM, SGLang and TensorRT-LLM do;
        where they do not divide, it is the number of heads over the most that a device has.
        """
        if op.kind == "experts":
            return self.tp * self.dp
        return op.shards / ceil(op.shards / self.tp) if op.shards else self.tp

    def check_against(self, spec: ModelSpec) -> None:
        """Raise InputError where the model cannot be split this way."""
        for name in ("tp", "pp", "dp", "ep"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", hint="It must be 1 or more")
        heads = [] if self.cards > 1 else attention_heads(spec)  # llama.cpp splits rows, whatever heads they are of
        for count in heads:
            if count % self.tp:
                good = [str(tp) for tp in range(1, count + 1) if all(other % tp == 0 for other in heads)]
                raise InputError(
                    f"tp {self.tp} does not divide the {count} attention heads of {spec.id}",
                    hint=f"tp may be {', '.join(good)}",
                )
        if self.pp > spec.num_hidden_layers:
            raise InputError(f"pp {self.pp} is more than the {spec.num_hidden_layers} layers of {spec.id}")
        experts = [mixture.num_experts for _, mixture in spec.mixtures]
        if self.ep > 1 and not experts:
            raise InputError(f"ep {self.ep} for {spec.id}, which has no experts", hint="Leave --ep out")
        if self.ep > 1 and self.ep > min(experts):
            raise InputError(f"ep {self.ep} is more than the {min(experts)} experts of {spec.id}")
        if (self.tp * self.dp) % self.ep:
            raise InputError(f"ep {self.ep} does not divide tp x dp = {self.tp * self.dp}")
        if not 0 <= self.offload_share <= 1:
            raise InputError(f"the offloaded share is {self.offload_share}", hint="It must be between 0 and 1")


def attention_heads(spec: ModelSpec) -> list[int]:
    """Numbers of heads that tensor parallelism must divide, one for each kind of mixer."""
    return sorted({mixer.tensor_parallel_heads for mixer in spec.mixers if mixer.tensor_parallel_heads})
