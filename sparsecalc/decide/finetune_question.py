"""What is asked of a model that is trained, resolved once."""

from math import isfinite
from typing import Any, get_type_hints

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.decide.counted import counted
from sparsecalc.decide.question import Hardware, hardware_of, positive
from sparsecalc.device.accelerator import Accelerator


class TrainingMethod(Frozen):
    """What is trained and how, in the words of the command line.

    None: not named, so that the options range over it; the figures are of `full`, and of `none`.
    """

    method: str | None = None
    rank: int = 16
    target: str = "all"
    dtype: str = "bf16"
    optimizer: str = "adamw"
    checkpointing: str | None = None
    kernels: str = "torch"
    fused_loss: bool = False


class TrainingLoad(Frozen):
    """Sequences of one device in one pass, and passes per step of the optimizer."""

    seq_len: int = 2048
    batch_size: int = 1
    grad_accum: int = 1


class Sharding(Frozen):
    """Devices, the ZeRO stage that divides states over them, and how many of them split the experts.

    None: not named, so that the options range over it; the figures are of 1 device, and of stage 0.
    """

    num_gpus: int | None = None
    zero: int | None = None
    ep: int = 1


class TrainingRun(Frozen):
    """Length of the run, None: that of data/training.json; the model FLOPs utilization, None: measured ones."""

    tokens: float | None = None
    epochs: float = 1
    mfu: float | None = None


class FinetuneQuestion(Frozen):
    """What is asked of a model that is trained, checked. `ask_finetune` makes it."""

    training: TrainingMethod = TrainingMethod()
    load: TrainingLoad = TrainingLoad()
    sharding: Sharding = Sharding()
    run: TrainingRun = TrainingRun()
    hardware: Hardware | None = None

    @property
    def device_memory_share(self) -> float | None:
        """Share of a device's memory that may be filled; None: the engines' default."""
        return self.hardware.device_memory_share if self.hardware else None

    @property
    def accelerator(self) -> Accelerator | None:
        """The device, where one is named."""
        return self.hardware.accelerators[0] if self.hardware else None


def ask_finetune(
    *, gpu: str | None = None, device_memory_share: float | None = None, **options: Any
) -> FinetuneQuestion:
    """The question that options ask, named as those of `sparsecalc finetune`.

    Raises InputError for sizes, shares and lengths out of range, and for an unknown accelerator.
    """
    gpu, count = counted(gpu, options.get("num_gpus"))
    if count:
        options["num_gpus"] = count
    parts = {"training": TrainingMethod, "load": TrainingLoad, "sharding": Sharding, "run": TrainingRun}
    given = {
        name: part(**{key: options.pop(key) for key in get_type_hints(part) if key in options})
        for name, part in parts.items()
    }
    if options:
        raise TypeError(f"finetune has no option {', '.join(options)}")
    asked = FinetuneQuestion(**given)
    _check_numbers(asked)
    return asked.but(hardware=_one_accelerator(gpu, device_memory_share))


def _one_accelerator(gpu: str | None, device_memory_share: float | None) -> Hardware | None:
    hardware = hardware_of(gpu, device_memory_share)
    if hardware and len(hardware.accelerators) > 1:
        raise InputError(f"--gpu names {len(hardware.accelerators)} accelerators", hint="Name one")
    return hardware


def _check_numbers(asked: FinetuneQuestion) -> None:
    load, sharding, run = asked.load, asked.sharding, asked.run
    positive("rank", asked.training.rank)
    positive("sequence length", load.seq_len)
    positive("batch size", load.batch_size)
    positive("number of accumulated batches", load.grad_accum)
    positive("number of GPUs", sharding.num_gpus)
    positive("number of expert-parallel devices", sharding.ep)
    if not 0 <= (sharding.zero or 0) <= 3:
        raise InputError(f"there is no ZeRO stage {sharding.zero}", hint="Stages: 0, 1, 2, 3")
    if run.mfu is not None and not 0 < run.mfu <= 1:
        raise InputError(f"the MFU is {run.mfu}", hint="It must be in (0, 1]")
    for name, length in {"number of tokens": run.tokens, "number of epochs": run.epochs}.items():
        if length is not None and not (isfinite(length) and length > 0):
            raise InputError(f"the {name} is {length}", hint="It must be positive")
