"""The document of `finetune`."""

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.results import Params
from sparsecalc.estimate.training import Checkpointing, Method, TrainingFlops, TrainingMemory


class Fit(Frozen):
    """Whether one step fits on the devices, and what would."""

    accelerator: str
    """Id of the accelerator."""
    capacity_bytes: int
    """Memory of one device, in bytes."""
    device_memory_share: float
    """Share of that memory that may be used, 0 to 1."""
    fits: bool
    """Whether one step fits."""
    free_bytes: int
    """Usable bytes of one device that are left; negative where the step does not fit."""
    largest_batch_size: int
    """Largest number of sequences per device that fits; 0 where not even one does."""
    gpus_needed: int | None
    """Smallest number of these devices that fits at this ZeRO stage; None where no number does."""
    gpus_needed_zero3: int | None
    """The same at ZeRO stage 3."""


class Run(Frozen):
    """Time and price of the run at a model FLOPs utilization (MFU), with the band of published ones."""

    mfu: float
    """Model FLOPs utilization: model FLOPs over what the dense peak allows, 0 to 1."""
    mfu_low: float
    """Lower end of the band of published utilizations."""
    mfu_high: float
    """Upper end of the band of published utilizations."""
    mfu_source: str
    """Where the utilization comes from."""
    peak_flops_per_second: float
    """Dense peak of one device in the format of training, in FLOP/s."""
    seconds_per_step: float
    """Seconds of one optimizer step."""
    recomputation: float
    """FLOPs with what checkpointing computes again over those of the model; the products take as much longer."""
    exchange_seconds: float
    """Seconds of a step in which slower links than NVLink 4 exchange weights and gradients, none of it overlapped."""
    tokens: float
    """Tokens of the run, all epochs."""
    tokens_source: str
    """Where their number comes from: `--tokens`, or the default that is assumed."""
    steps: float
    """Optimizer steps of the run."""
    hours: float
    """Hours of the run."""
    hours_low: float
    """Hours at the highest utilization of the band, where larger batches make up for recomputation and exchange."""
    hours_high: float
    """Hours at the lowest utilization of the band."""
    usd: float | None
    """US dollars of all devices; None without a price."""
    usd_low: float | None
    """US dollars at the highest utilization of the band."""
    usd_high: float | None
    """US dollars at the lowest utilization of the band."""


class Option(Frozen):
    """One way to train the model on the accelerator, and what it takes."""

    method: Method
    """The method of fine-tuning."""
    checkpointing: Checkpointing
    """Which activations are computed again: none, selective or full."""
    zero_stage: int
    """ZeRO stage, 0 to 3: the lowest that does with so few devices."""
    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """The smallest number of devices that fits, or the one that is asked for."""
    as_asked: bool
    """Whether it keeps to the checkpointing, ZeRO stage and number of devices that are named."""
    fits: bool
    """Whether one step fits."""
    bytes_per_gpu: int
    """Bytes on one device at the peak of a step."""
    memory: TrainingMemory
    """The same by part."""
    hours: float | None
    """Hours of the run; None where the device has no known peak in the format of training, as all below."""
    hours_low: float | None
    """Shortest hours of the band."""
    hours_high: float | None
    """Longest hours of the band."""
    usd: float | None
    """US dollars of all devices; None without a price."""
    usd_low: float | None
    """US dollars of the shortest hours."""
    usd_high: float | None
    """US dollars of the longest hours."""


class FinetuneFigures(Frozen):
    """What fine-tuning one model takes as asked: full, without checkpointing, on one device where nothing is named."""

    model: str
    """Id of the model."""
    kind: str
    """Kind of the model, as in `show`."""
    method: Method
    """The method of fine-tuning."""
    params: Params
    """Parameters of the model."""
    trained_params: int
    """Parameters that are trained: all of them, or those of the adapters."""
    trained_params_in_experts: int
    """Those of them that belong to routed experts."""
    memory: TrainingMemory
    """Memory of one device."""
    flops: TrainingFlops
    """FLOPs of one pass of one device."""
    model_flops_per_token: float
    """FLOPs per token of forward and backward, nothing counted twice."""
    recomputed_flops_per_token: float
    """FLOPs per token that activation checkpointing adds."""
    tokens_per_step: int
    """Tokens of one optimizer step, on all devices."""
    activations_measured: bool
    """Whether the activations of this model_type were checked against the tensors that torch saves."""
    fit: Fit | None
    """Whether it fits on the devices; None without `--gpu`."""
    run: Run | None
    """Time and price; None without `--gpu`, or where the device has no known peak in the format of training."""


class FinetuneReport(FinetuneFigures, Document):
    """What fine-tuning one model takes, and a conclusion in words."""

    answer: str
    """What to run and what it takes, in one sentence."""
    options: list[Option]
    """Ways to train the model on the accelerator: those that fit first, the cheapest first; none without `--gpu`."""
    recommended: Option | None
    """The cheapest on the fewest devices that fit and keep to what is named; where none do, of all that fit."""
    conclusion: list[str]
    """Sentences that are computed from the figures."""
