"""What `profile` and `bench` measure."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Phase

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
