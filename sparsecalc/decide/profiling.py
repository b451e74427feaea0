"""Documents of `profile` and `bench`: what is asked, and every measurement with what was predicted for it."""

from dataclasses import field
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Phase
from sparsecalc.decide.report import Document

PHASES: tuple[Phase, ...] = ("prefill", "decode")
EXPERTS = ("eager", "batched_mm", "grouped_mm")
DTYPES = ("bf16", "fp16", "fp32")
LARGEST = 2**24


class ProfileQuestion(Frozen):
    """What `profile` measures; every batch size with every context in every phase."""

    device: str | None = None
    phases: tuple[Phase, ...] = PHASES
    batch_sizes: tuple[int, ...] = (1, 8)
    context_lens: tuple[int, ...] = (512,)
    layers: int | None = None
    """Layers of each kind; None: as many as keep the weights out of the caches, as far as memory allows."""
    dtype: str = "bf16"
    experts_implementation: str | None = None
    routing: str = "uniform"
    time_budget_seconds: float = 300.0
    memory_limit_bytes: int | None = None
    """None: 60 % of the memory that is free."""
    calibration: str | None = None
    """File of the constants that predict, or `local`; None: the user's own of this device, if there is one."""

    def checked(self) -> "ProfileQuestion":
        """The question; raises InputError where a value makes no sense."""
        _choice("phase", self.phases, PHASES)
        positive("batch size", self.batch_sizes)
        positive("context", self.context_lens)
        _check_run(self)
        return self


def positive(name: str, values: tuple[int, ...]) -> None:
    """Raise InputError unless all values are between 1 and LARGEST, and there are any."""
    wrong = next((value for value in values if not 0 < value <= LARGEST), None)
    if wrong is not None or not values:
        raise InputError(f"the {name} is {wrong if values else 'empty'}", hint=f"It must be between 1 and {LARGEST:,}")


def _choice(what: str, chosen: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in chosen:
        if name not in known:
            hint = f"Known: {', '.join(known)}{did_you_mean(name, known)}"
            raise InputError(f"unknown {what} {brief(name)}", hint=hint)
    if not chosen:
        raise InputError(f"no {what} is named", hint=f"Known: {', '.join(known)}")


class BenchQuestion(Frozen):
    """What `bench` generates."""

    device: str | None = None
    batch_size: int = 1
    prompt_len: int = 128
    output_len: int = 32
    layers: int | None = None
    """Layers of each kind; None: all, or as many as fit."""
    dtype: str = "bf16"
    experts_implementation: str | None = None
    routing: str = "uniform"
    time_budget_seconds: float = 300.0
    memory_limit_bytes: int | None = None
    """None: 60 % of the memory that is free."""
    calibration: str | None = None
    """File of the constants that predict, or `local`; None: the user's own of this device, if there is one."""

    def checked(self) -> "BenchQuestion":
        """The question; raises InputError where a value makes no sense."""
        for name, value in (("batch size", self.batch_size), ("prompt length", self.prompt_len)):
            positive(name, (value,))
        if not 2 <= self.output_len <= LARGEST:
            raise InputError(f"the output length is {self.output_len}", hint=f"It must be between 2 and {LARGEST:,}")
        _check_run(self)
        return self


def _check_run(asked: ProfileQuestion | BenchQuestion) -> None:
    """What both commands ask in the same way."""
    _choice("dtype", (asked.dtype,), DTYPES)
    if asked.experts_implementation is not None:
        _choice("experts implementation", (asked.experts_implementation,), EXPERTS)
    if asked.layers is not None:
        positive("number of layers", (asked.layers,))
    memory = asked.memory_limit_bytes
    if not 0 < asked.time_budget_seconds < LARGEST or (memory is not None and not 0 < memory < 2**60):
        raise InputError("the time budget and the memory limit must be more than 0", hint="Example: 60")


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
