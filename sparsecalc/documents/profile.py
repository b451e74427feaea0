"""Documents of `profile` and `bench`: what is asked, and every measurement with what was predicted for it."""

from dataclasses import field
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.workload import Phase
from sparsecalc.documents.base import Document


class Measurement(Frozen):
    """Samples of one thing at one size, and what was predicted for it.

    `component`: `model` (extrapolated to all layers), `step` (what was run), `layer` (one layer of `kind`), a component
    of one such layer, or, with an empty `kind`, of what stands outside the layers; `rest`: all of that together.
    """

    phase: Phase
    component: str
    kind: str = ""
    batch_size: int
    new_tokens: int
    context_len: int
    layers: int
    """How many layers the time is of."""
    samples_seconds: list[float]
    median_seconds: float
    p10_seconds: float
    p90_seconds: float
    predicted_seconds: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None
    tokens_per_second: float | None = None
    flops: float | None = None
    """FLOPs by the ledger."""
    bytes: float | None = None
    """Weights, cache, states and activations that the step moves, by the ledger; experts as they were touched."""
    achieved_flops_per_second: float | None = None
    achieved_bytes_per_second: float | None = None
    share_of_peak_flops: float | None = None
    """Of the data sheet's dense peak; None where the device has none here."""
    share_of_bandwidth: float | None = None
    method: str
    """wall clock, cuda graph, cuda eager, generate, vllm."""
    rejected_samples: int = 0
    outliers_seconds: list[float] = field(default_factory=list)
    distinct_experts: float | None = None
    """Experts that a layer's tokens really went to, mean of the samples' draws."""
    expected_distinct_experts: float | None = None
    peak_memory_bytes: int | None = None
    """What the run added to the process's memory (CPU: resident; CUDA: allocated), weights included."""
    predicted_memory_bytes: int | None = None


class ProfileReport(Document):
    """Real layers, measured."""

    model: str
    environment: dict[str, Any]
    layers_measured: dict[str, dict[str, int]]
    """For each kind of layer: `count` in the model, `measured` in the run."""
    measurements: list[Measurement]
    formulas: list[str]
    """How each step was extrapolated to the whole model, with the numbers."""
    interrupted: bool = False


class BenchReport(Document):
    """A whole model generating tokens."""

    model: str
    environment: dict[str, Any]
    layers: int
    num_hidden_layers: int
    measurements: list[Measurement]
    lines: list[str]
    interrupted: bool = False
