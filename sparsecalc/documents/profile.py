"""The document of `profile`: every measurement beside what was predicted for it."""

from dataclasses import field
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.workload import Phase
from sparsecalc.documents.base import Document


class Measurement(Frozen):
    """Samples of one thing at one size, and what was predicted for it."""

    phase: Phase
    """Phase of the step."""
    component: str
    """What was measured: `model` (extrapolated to all layers), `step` (what was run), `layer` (one layer of `kind`), a
    component of one such layer, or, with an empty `kind`, a component outside the layers; `rest` is all of those."""
    kind: str = ""
    """Kind of layer; empty outside the layers."""
    batch_size: int
    """Sequences in the batch."""
    new_tokens: int
    """Tokens per sequence that the step computes."""
    context_len: int
    """Tokens per sequence that the step sees, new ones included."""
    layers: int
    """Number of layers that the time is of."""
    samples_seconds: list[float]
    """Every sample, in seconds."""
    median_seconds: float
    """Median of the samples."""
    p10_seconds: float
    """10th percentile of the samples."""
    p90_seconds: float
    """90th percentile of the samples."""
    predicted_seconds: float | None = None
    """Predicted time; None for a device that no prediction is made for."""
    predicted_low: float | None = None
    """Lower end of the prediction's 80 % band, in seconds."""
    predicted_high: float | None = None
    """Upper end of the prediction's 80 % band, in seconds."""
    tokens_per_second: float | None = None
    """Tokens of the step over the median; only of `model` and `step`."""
    flops: float | None = None
    """FLOPs by the ledger."""
    bytes: float | None = None
    """Bytes of weights, cache, states and activations that are moved, by the ledger and the experts really reached."""
    achieved_flops_per_second: float | None = None
    """FLOPs over the median, in FLOP/s."""
    achieved_bytes_per_second: float | None = None
    """Bytes over the median, in bytes/s."""
    share_of_peak_flops: float | None = None
    """Achieved FLOP/s over the data sheet's dense peak; None where the device has none."""
    share_of_bandwidth: float | None = None
    """Achieved bytes/s over the data sheet's bandwidth; None where the device has none."""
    method: str
    """How it was timed: wall clock, cuda graph, cuda eager, generate or vllm."""
    rejected_samples: int = 0
    """Samples left out because the process was preempted."""
    outliers_seconds: list[float] = field(default_factory=list)
    """Samples that are outliers; they are kept."""
    distinct_experts: float | None = None
    """Distinct experts that the tokens of a layer went to, mean over the samples."""
    expected_distinct_experts: float | None = None
    """Distinct experts that the routing makes expect."""
    peak_memory_bytes: int | None = None
    """Memory that the run added to the process, weights included (CPU: resident; CUDA: allocated)."""
    predicted_memory_bytes: int | None = None
    """Bytes that were predicted for it."""


class ProfileReport(Document):
    """Real layers with random weights, measured on this machine."""

    model: str
    """Id of the model."""
    environment: dict[str, Any]
    """Conditions of the measurement: device, versions, clocks, load."""
    layers_measured: dict[str, dict[str, int]]
    """For each kind of layer: `count` in the model, `measured` in the run."""
    measurements: list[Measurement]
    """The measurements, by phase and size."""
    formulas: list[str]
    """How each step was extrapolated to the whole model, with the numbers."""
    interrupted: bool = False
    """Whether the run was interrupted; it then holds what was measured until then."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each measurement."""
        return [row.to_dict() for row in self.measurements]
