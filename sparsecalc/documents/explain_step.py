"""The document of `explain MODEL decode` and `explain MODEL prefill`: a step kernel by kernel."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class StepLine(Frozen):
    """One kernel on the busiest device, in all of its layers.

    seconds = layers * (overhead_seconds + ||FLOPs / (compute_share * peak), bytes / (bandwidth_share * bandwidth)||_p)
    """

    name: str
    """Name of the kernel: that of the op that it computes."""
    component: str
    """Component that it belongs to, as in `by_component`."""
    group: str
    """Kind of layer; empty outside the layers."""
    layers: float
    """Number of layers with this kernel; with pipeline parallelism, of one stage."""
    flops: float
    """FLOPs, in all of its layers."""
    weight_bytes: float
    """Bytes of weights read."""
    cache_bytes: float
    """Bytes of KV cache and recurrent state read and written."""
    activation_bytes: float
    """Bytes of activations read and written, or sent to other devices."""
    seconds: float
    """Seconds, in all of its layers."""
    share: float
    """Share of the step's seconds, 0 to 1."""
    bound: str
    """What most of its time goes to: weights, kv_cache, activations, compute, overhead, network or host."""
    compute_share: float
    """Share of the dense peak FLOP/s that such kernels reach, 0 to 1 (ec in docs/formulas.md)."""
    bandwidth_share: float
    """Share of the bandwidth that such kernels reach, 0 to 1 (em in docs/formulas.md)."""
    overhead_seconds: float
    """Seconds per launch that neither FLOPs nor bytes account for (t0 in docs/formulas.md)."""
    origin: str
    """Where these three constants come from."""


class StepReport(Document):
    """The seconds of one step, kernel by kernel."""

    model: str
    """Id of the model."""
    topic: str
    """The step: decode or prefill."""
    text: list[str]
    """Sentences: the step, the devices, the formula."""
    lines: list[StepLine]
    """The kernels, in the order of the model."""
    seconds: float
    """Seconds of the step."""
    seconds_low: float
    """Lower end of the 80 % band."""
    seconds_high: float
    """Upper end of the 80 % band."""
    by_bound: dict[str, float]
    """Seconds by what they are spent on."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each kernel."""
        return [line.to_dict() for line in self.lines]
