"""What `profile` and `bench` are asked to measure: options are checked here, once."""

from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Phase
from sparsecalc.decide.question import LoadGrid, positive
from sparsecalc.estimate.load import Requests

PHASES: tuple[Phase, ...] = ("prefill", "decode")
EXPERTS = ("eager", "batched_mm", "grouped_mm")
DTYPES = ("bf16", "fp16", "fp32")
MOST_SECONDS = 2**24
MOST_BYTES = 2**60


class MeasuredRun(Frozen):
    """How real layers are run: where, how many, in which format, and for how long."""

    device: str | None = None
    """None: CUDA where there is one, else the CPU."""
    layers: int | None = None
    """Layers of each kind; None: as many as the command needs, as far as memory allows."""
    dtype: str = "bf16"
    experts_implementation: str | None = None
    """None: transformers' own choice."""
    routing: str = "uniform"
    time_budget_seconds: float = 300.0
    memory_limit_bytes: int | None = None
    """None: 60 % of the memory that is free."""
    calibration: str | None = None
    """File of the constants that predict, or `local`; None: the user's own of this device, if there is one."""


class ProfileQuestion(Frozen):
    """What `profile` measures: every batch size with every context in every phase. `ask_profile` makes it.

    Of each kind of layer, unless `run` says how many: as many as keep the weights out of the caches.
    """

    phases: tuple[Phase, ...]
    grid: LoadGrid
    run: MeasuredRun

    def inputs(self) -> dict[str, object]:
        """Everything that was asked, for the document."""
        return {"phases": self.phases, **self.grid.to_dict(), **self.run.to_dict()}


class BenchQuestion(Frozen):
    """What `bench` generates: all requests at once. `ask_bench` makes it.

    All layers of the model, unless `run` says how many.
    """

    requests: Requests
    run: MeasuredRun

    def inputs(self) -> dict[str, object]:
        """Everything that was asked, for the document."""
        asked = self.requests
        lengths = {"prompt_len": asked.prompt_len, "output_len": asked.output_len}
        return {"batch_size": asked.concurrency, **lengths, **self.run.to_dict()}


def checked_run(run: MeasuredRun) -> MeasuredRun:
    """The run itself. Raises InputError in one line for what is unknown or out of range."""
    _known("dtype", (run.dtype,), DTYPES)
    if run.experts_implementation is not None:
        _known("experts implementation", (run.experts_implementation,), EXPERTS)
    positive("number of layers", run.layers)
    in_range = run.memory_limit_bytes is None or 0 < run.memory_limit_bytes < MOST_BYTES
    if not 0 < run.time_budget_seconds < MOST_SECONDS or not in_range:
        raise InputError("the time budget and the memory limit must be more than 0", hint="Example: 60")
    return run


def ask_profile(
    *,
    phases: Sequence[Phase] = PHASES,
    batch_sizes: Sequence[int] = (1, 8),
    context_lens: Sequence[int] = (512,),
    run: MeasuredRun,
) -> ProfileQuestion:
    """A profile by its options. Raises InputError in one line for what is unknown or out of range."""
    _known("phase", phases, PHASES)
    for name, sizes in {"batch size": batch_sizes, "context": context_lens}.items():
        if not sizes:
            raise InputError(f"no {name} is given", hint="Example: 512")
        positive(name, *sizes)
    grid = LoadGrid(batch_sizes=tuple(batch_sizes), context_lens=tuple(context_lens))
    return ProfileQuestion(phases=tuple(phases), grid=grid, run=checked_run(run))


def ask_bench(*, batch_size: int = 1, prompt_len: int = 128, output_len: int = 32, run: MeasuredRun) -> BenchQuestion:
    """A generation by its options. Raises InputError in one line for what is out of range."""
    positive("batch size", batch_size)
    positive("prompt length", prompt_len)
    positive("output length", output_len)
    if output_len < 2:
        raise InputError(f"the output length is {output_len}", hint="It must be 2 or more: a first token and a next")
    requests = Requests(prompt_len=prompt_len, output_len=output_len, concurrency=batch_size)
    return BenchQuestion(requests=requests, run=checked_run(run))


def _known(what: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    for name in chosen:
        if name not in known:
            hint = f"Known: {', '.join(known)}{did_you_mean(name, known)}"
            raise InputError(f"unknown {what} {brief(name)}", hint=hint)
    if not chosen:
        raise InputError(f"no {what} is named", hint=f"Known: {', '.join(known)}")
