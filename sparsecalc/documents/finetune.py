"""The document of `finetune`, and its conclusion: plain sentences, each computed from the figures."""

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.results import Params
from sparsecalc.estimate.training import (
    Method,
    TrainingFlops,
    TrainingMemory,
)


class Fit(Frozen):
    """Whether one step fits on the devices, and what would."""

    accelerator: str
    capacity_bytes: int
    device_memory_share: float
    fits: bool
    free_bytes: int
    largest_batch_size: int
    """Sequences per device; 0: not even one fits."""
    gpus_needed: int | None
    """With this ZeRO stage; null: no number of these devices."""
    gpus_needed_zero3: int | None


class Run(Frozen):
    """Time and price of the run at a model FLOPs utilization, with the band of what others measured."""

    mfu: float
    mfu_low: float
    mfu_high: float
    mfu_source: str
    peak_flops_per_second: float
    seconds_per_step: float
    tokens: float | None
    steps: float | None
    hours: float | None
    hours_low: float | None
    hours_high: float | None
    usd: float | None
    usd_low: float | None
    usd_high: float | None


class FinetuneFigures(Frozen):
    """What fine-tuning one model takes; memory is that of one device, FLOPs those of its one pass."""

    model: str
    kind: str
    method: Method
    params: Params
    trained_params: int
    trained_params_in_experts: int
    memory: TrainingMemory
    flops: TrainingFlops
    model_flops_per_token: float
    recomputed_flops_per_token: float
    tokens_per_step: int
    activations_measured: bool
    """Whether the activations of this model_type are held against the tensors that torch saves."""
    fit: Fit | None
    run: Run | None


class FinetuneReport(FinetuneFigures, Document):
    """The figures with their conclusion."""

    conclusion: list[str]
