"""What a plan is asked, checked and with defaults filled in."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.decide.question import LARGEST, Question, ask
from sparsecalc.decide.targets import seconds_of
from sparsecalc.device.engines import engine_name
from sparsecalc.device.served import planned_engines, priced_accelerators
from sparsecalc.estimate.engine_defaults import whole_default

Sort = Literal["usd", "speed", "gpus"]
SORTS: tuple[Sort, ...] = ("usd", "speed", "gpus")
DEFAULT_ENGINE = "vllm"
DEFAULT_MAX_GPUS, MOST_GPUS = 8, 4096


class PlanAsked(Frozen):
    """The search: what may be used, the load, and what must be kept."""

    question: Question
    """With the accelerators, the lengths of the requests and the engine; of one request in flight."""
    all_gpus: bool
    """Whether the accelerators are all that the engine serves on and that have a price."""
    max_gpus: int
    concurrency: int | None
    """Requests in flight on all replicas; None: as many as the rate makes."""
    rate: float | None = None
    """Requests per second that arrive."""
    tpot: float | None = None
    ttft: float | None = None
    budget: float | None = None
    """US dollars per hour."""
    sort: Sort = "usd"

    @property
    def engine(self) -> str:
        """Id of the engine."""
        return engine_name(self.question.engine).id

    def share(self, replicas: int) -> int:
        """Requests in flight on the busiest of so many replicas."""
        assert self.concurrency is not None
        return ceil(self.concurrency / replicas)

    def inputs(self, models: list[str]) -> dict[str, object]:
        """What was asked, for the document."""
        asked, own = self.question.inputs(models), ("max_gpus", "concurrency", "rate", "tpot", "ttft", "budget", "sort")
        kept = ("models", "dtype", "kv_cache_dtype", "gpu", "prompt_len", "output_len", "engine")
        return {name: asked[name] for name in kept} | {name: getattr(self, name) for name in own}


def plan_asked(
    *,
    gpu: str = "all",
    max_gpus: int = DEFAULT_MAX_GPUS,
    users: int | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    prompt_len: int | None = None,
    output_len: int | None = None,
    context_len: int | None = None,
    tpot: str | float | None = None,
    ttft: str | float | None = None,
    budget: float | None = None,
    sort: str = "usd",
    engine: str | None = None,
    **more: Any,
) -> PlanAsked:
    """The plan that options ask for, named as those of `sparsecalc plan`; `more`: options of `ask`.

    Raises InputError for an option that makes no sense, an engine whose memory is not modelled, two loads at once.
    """
    wanted = engine or DEFAULT_ENGINE
    _check(wanted, max_gpus, {"--users": users, "--concurrency": concurrency, "--rate": rate}, budget)
    every = gpu.strip().lower() == "all"
    dtype, answer = more.pop("dtype", None), whole_default("planned_output_len") if output_len is None else output_len
    question = ask(
        gpu=",".join(priced_accelerators(engine_name(wanted).id)) if every else gpu,
        engine=wanted,
        prompt_len=_prompt_len(prompt_len, context_len, answer),
        output_len=answer,
        dtype=None if dtype == "auto" else dtype,
        **more,
    )
    if question.parallelism.num_gpus:
        text = f"--gpu {brief(gpu)} has a number of devices"
        raise InputError(text, hint=f"A plan chooses it: --max-gpus {question.parallelism.num_gpus}")
    return PlanAsked(
        question=question,
        all_gpus=every,
        max_gpus=max_gpus,
        concurrency=None if rate else users or concurrency or 1,
        rate=rate,
        tpot=_target(tpot, "--tpot"),
        ttft=_target(ttft, "--ttft"),
        budget=budget,
        sort=_sort(sort),
    )


def _prompt_len(prompt_len: int | None, context_len: int | None, output_len: int) -> int:
    """The prompt that is told, or what a context leaves beside the answer."""
    if context_len is None:
        return whole_default("planned_prompt_len") if prompt_len is None else prompt_len
    if prompt_len is not None:
        raise InputError("--context and --prompt-len are both given", hint="A context is prompt and answer: say one")
    if context_len <= output_len:
        raise InputError(f"--context is {context_len:,}, an answer {output_len:,} tokens", hint="It must be longer")
    return context_len - output_len


def _target(value: str | float | None, name: str) -> float | None:
    return None if value is None else seconds_of(str(value), name)


def _sort(text: str) -> Sort:
    for known in SORTS:
        if known == text.strip().lower():
            return known
    raise InputError(f"--sort is {brief(text)}", hint=f"It may be {', '.join(SORTS)}{did_you_mean(text, SORTS)}")


def _check(engine: str, max_gpus: int, loads: Mapping[str, float | None], budget: float | None) -> None:
    """Raise InputError for an engine without a plan, several loads, or a number out of range."""
    if engine_name(engine).id not in planned_engines():
        raise InputError(f"no plan for {brief(engine)}", hint=f"Engines: {', '.join(planned_engines())}")
    named = [name for name, value in loads.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} are both given", hint="Say the load once")
    for name, value in (*loads.items(), ("--budget", budget)):
        if value is not None and not 0 < value < LARGEST:
            raise InputError(f"{name} is {value:g}", hint="It must be more than 0, and less than 2^30")
    if not 0 < max_gpus <= MOST_GPUS:
        raise InputError(f"--max-gpus is {max_gpus}", hint=f"It must be between 1 and {MOST_GPUS:,}")
