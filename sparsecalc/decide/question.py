"""What is asked of a model, resolved once: options are checked here and become one description of a few parts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from sparsecalc.core.bench_tests import BenchTest, bench_tests
from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.routing import Routing
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.asked_host import host_asked
from sparsecalc.decide.asked_layouts import AskedLayout, asked_layouts
from sparsecalc.decide.asked_layouts import Formats as Formats
from sparsecalc.decide.asked_layouts import Parallelism as Parallelism
from sparsecalc.decide.asked_parts import Offload as Offload
from sparsecalc.decide.asked_parts import Speculative, offload_of, speculative_of
from sparsecalc.decide.counted import counted
from sparsecalc.decide.engine_words import EngineWords, engine_options, engine_release, kv_cache_format
from sparsecalc.estimate.engine_defaults import whole_default
from sparsecalc.estimate.engine_memory.rules import EngineOptions
from sparsecalc.estimate.load import Load, Requests
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.parts_beside import asked_parts

if TYPE_CHECKING:  # pydantic is imported only where an accelerator is named
    from sparsecalc.device.accelerator import Accelerator

LARGEST = 2**30


class Hardware(Frozen):
    """The accelerators, and the share of their memory that may be filled."""

    gpu: str
    """As typed: one name or several, joined by commas."""
    accelerators: "tuple[Accelerator, ...]"
    device_memory_share: float | None = None
    """None: the engines' default."""
    calibration: str | None = None
    """File of constants fitted to one of the accelerators."""
    anchor: dict[str, Any] | None = None
    """What that file has of measured loads of a serving stack instead."""


class LoadGrid(Frozen):
    """The batch sizes and contexts that are asked for, each with each."""

    batch_sizes: tuple[int, ...]
    context_lens: tuple[int, ...]


class Question(Frozen):
    """What is asked of each model, checked and with defaults filled in. `ask` makes it.

    `load` is the first point of the `grid`, the one that is shown in full; `requests` are those in flight at it.
    """

    load: Load
    requests: Requests
    grid: LoadGrid
    formats: Formats = Formats()
    hardware: Hardware | None = None
    parallelism: Parallelism = Parallelism()
    engine: str | None = None
    engine_options: EngineOptions = EngineOptions()
    routing: str = "uniform"
    speculative: Speculative = Speculative()
    context_is_asked: bool = True
    """Whether a context, or a prompt that needs it, was named; else it is the usual one."""
    parts_beside: tuple[str, ...] = ()
    """What is counted beside the text decoder: vision, audio, mtp."""
    tests: tuple[BenchTest, ...] = ()
    """What llama-bench would measure."""
    layouts: tuple[AskedLayout, ...] = ()
    """All of them where several degrees of parallelism or formats are asked for; the first is the question's own."""

    def in_each_layout(self) -> "list[Question]":
        """The question for each layout, itself where there is one."""
        if not self.layouts:
            return [self]
        return [self.but(parallelism=each.parallelism, formats=each.formats) for each in self.layouts]

    def in_one_layout(self) -> "Question":
        """The question itself. Raises InputError where several layouts are asked for."""
        if self.layouts:
            text = f"{len(self.layouts)} layouts are asked for, by lists of --tp, --pp, --dp, --ep or --dtype"
            raise InputError(text, hint="Lists are for show, compare and sweep: name one of each")
        return self

    @property
    def devices(self) -> Hardware:
        """The hardware. Raises InputError where none is named."""
        if self.hardware is None:
            raise InputError("no accelerator is named", hint="Name one: --gpu h100-sxm")
        return self.hardware

    def at(self, *, batch_size: int | None = None, context_len: int | None = None) -> "Question":
        """The same question at another batch size, with as many requests; at another context, which they fill."""
        load, requests = self.load, self.requests
        if batch_size is not None:
            load, requests = load.but(batch_size=batch_size), requests.but(concurrency=batch_size)
        if context_len is not None:
            load, requests = load.but(context_len=context_len), Requests.filling(context_len, requests.concurrency)
        return self.but(load=load, requests=requests)

    def with_tests(self, text: str | None) -> "Question":
        """The same with tests of llama-bench (None: none), and a context that holds each, where none was asked for.

        Raises InputError for what is no test, without an accelerator, and for a context that is too short.
        """
        if text is None:
            return self
        tests = bench_tests(text)
        longest = max(tests, key=lambda test: test.context_len)
        if self.devices and longest.context_len <= max(self.grid.context_lens):
            return self.but(tests=tests)
        if self.context_is_asked:
            needs = f"{longest.name} needs a context of {longest.context_len:,}"
            raise InputError(needs, hint=f"It is {max(self.grid.context_lens):,}: --context {longest.context_len}")
        grid = self.grid.but(context_lens=(longest.context_len,))
        return self.at(context_len=longest.context_len).but(tests=tests, grid=grid, context_is_asked=True)

    def for_dense(self) -> "Question":
        """The same of a dense model beside a mixture of experts: as many devices, nothing that is about experts."""
        return self.but(parallelism=self.parallelism.without_experts(), routing="uniform")

    def inputs(self, models: list[str]) -> dict[str, object]:
        """Everything that was asked, defaults filled in, for the document."""
        hardware, load = self.hardware, self.load
        asked: dict[str, object] = {
            "models": [printable(name, 1000) for name in models],
            "batch_size": load.batch_size,
            "context_len": load.context_len,
            "dtype": self.formats.dtype,
            "kv_cache_dtype": self.formats.kv_cache_dtype or "bf16",
            "gpu": hardware.gpu if hardware else None,
            "num_gpus": self.parallelism.num_gpus if hardware else None,
            "max_num_batched_tokens": load.max_num_batched_tokens,
        }
        asked |= {"with": ",".join(self.parts_beside)} if self.parts_beside else {}
        if not hardware:
            return asked
        parallelism, speculative = self.parallelism, self.speculative
        optional = {
            "calibration": hardware.calibration,
            **{name: value for name, value in vars(parallelism).items() if name not in ("num_gpus", "offload", "host")},
            "offload": parallelism.offload.text,
            **dict(parallelism.host.typed),
            **vars(speculative),
            **vars(self.engine_options.but(max_num_batched_tokens=None)),
            "test": ",".join(test.name for test in self.tests),
        }
        asked |= {**vars(self.requests), "engine": self.engine or "generic", "routing": printable(self.routing, 1000)}
        return asked | {name: value for name, value in optional.items() if value}


def ask(
    *,
    batch_size: int | Sequence[int] = 1,
    context_len: int | Sequence[int] | None = None,
    prompt_len: int | None = None,
    output_len: int | None = None,
    concurrency: int | None = None,
    max_num_batched_tokens: int | None = None,
    dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    gpu: str | None = None,
    device_memory_share: float | None = None,
    calibration: str | None = None,
    num_gpus: int | Sequence[int] | None = None,
    tp: int | Sequence[int] | None = None,
    pp: int | Sequence[int] | None = None,
    dp: int | Sequence[int] | None = None,
    ep: int | Sequence[int] | None = None,
    eplb_replicas: int | None = None,
    offload: str | None = None,
    engine: str | None = None,
    routing: str = "uniform",
    draft_tokens: int = 0,
    acceptance: float | None = None,
    draft_model: str | None = None,
    with_parts: str | None = None,
    **told: Unpack[EngineWords],
) -> Question:
    """The question that options ask, as `sparsecalc show` names them; several values of one make a grid.

    `told`: what the engine is told of memory. Raises InputError for an option that makes no sense.
    """
    gpu, num_gpus = counted(gpu, num_gpus)
    _check(engine, {"output length": output_len, "concurrency": concurrency})
    grid, load = _loads(batch_size, context_len, prompt_len, output_len, max_num_batched_tokens)
    layouts = _layouts((num_gpus, tp, pp, dp, ep, eplb_replicas), (dtype, kv_cache_dtype), offload, dict(told))
    mtp, test, _ = told.pop("mtp", None), told.pop("test", None), told.pop("enable_expert_parallel", False)
    return Question(
        load=load,
        requests=Requests.filling(load.context_len, concurrency or load.batch_size, prompt_len, output_len),
        grid=grid,
        hardware=hardware_of(gpu, device_memory_share, calibration),
        **layouts,
        engine=engine,
        engine_options=engine_options(max_num_batched_tokens=max_num_batched_tokens, **told),
        routing=routing,
        speculative=speculative_of(draft_tokens, acceptance, draft_model, mtp),
        context_is_asked=context_len is not None or prompt_len is not None,
        parts_beside=asked_parts(with_parts),
    ).with_tests(test)


def _layouts(
    degrees: tuple[Any, ...], dtypes: tuple[str | None, str | None], offload: str | None, told: dict[str, Any]
) -> dict[str, Any]:
    """The fields of a question that say how it is laid out.

    `degrees`: of devices, TP, PP, DP, EP and copies of experts; `dtypes`: of weights and KV cache.
    """
    names = ("num_gpus", "tp", "pp", "dp", "ep", "eplb_replicas")
    positive("number of GPUs", *(_several(degrees[0]) if degrees[0] is not None else ()))
    experts, host = told.get("enable_expert_parallel", False), host_asked(told)
    same = {"expert_parallel": experts, "offload": offload_of(offload), "host": host}
    given = dict(zip(names, degrees, strict=True))
    found = asked_layouts(given, dtypes[0], kv_cache_format(dtypes[1], told), same)
    return {**vars(found[0]), "layouts": found if len(found) > 1 else ()}


def routing_of(spec: ModelSpec, question: Question) -> Routing:
    """The routing that is asked for; uniform for a model without experts. Raises InputError for a malformed file."""
    counts = {mixture.num_experts for _, mixture in spec.mixtures}
    if not counts or question.routing == "uniform":
        return Routing()
    from sparsecalc.library.routing_files import load_routing

    return load_routing(question.routing, max(counts))


def _check(engine: str | None, numbers: dict[str, int | None]) -> None:
    """Raise InputError for a malformed release of an engine, or a number out of range."""
    engine_release(engine)
    for name, value in numbers.items():
        positive(name, value)


def positive(name: str, *values: int | None) -> None:
    """Raise InputError for a value that is not between 1 and 2^30; None is not asked."""
    for value in values:
        if value is not None and not 0 < value <= LARGEST:
            raise InputError(f"the {name} is {value}", hint="It must be between 1 and 2^30")


def _loads(
    batch_size: int | Sequence[int],
    context_len: int | Sequence[int] | None,
    prompt_len: int | None,
    output_len: int | None,
    max_num_batched_tokens: int | None,
) -> tuple[LoadGrid, Load]:
    """The grid of loads and its first point."""
    batches = _several(batch_size)
    contexts = _several(_default_context(prompt_len, output_len) if context_len is None else context_len)
    chunk = whole_default("max_num_batched_tokens") if max_num_batched_tokens is None else max_num_batched_tokens
    for name, values in {
        "batch size": batches,
        "context": contexts,
        "max-num-batched-tokens": (chunk,),
        "prompt length": (prompt_len,),
    }.items():
        positive(name, *values)
    load = Load(batch_size=batches[0], context_len=contexts[0], max_num_batched_tokens=chunk)
    return LoadGrid(batch_sizes=batches, context_lens=contexts), load


def _several(value: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _default_context(prompt_len: int | None, output_len: int | None) -> int:
    """What prompt and answer need, where they are given; a usual context, or a longer prompt's."""
    usual = whole_default("context_len")
    if prompt_len is None:
        return usual
    return max(usual, prompt_len + 1) if output_len is None else prompt_len + output_len


def hardware_of(
    gpu: str | None, device_memory_share: float | None = None, calibration: str | None = None
) -> Hardware | None:
    """The named accelerators; None where none is named.

    Raises InputError for a share out of range, an unknown accelerator, and a calibration of none of them.
    """
    if device_memory_share is not None and not 0 < device_memory_share <= 1:
        raise InputError(f"the share of device memory is {device_memory_share}", hint="It must be in (0, 1]")
    if gpu is None:
        return None
    from sparsecalc.device.calibration import load_calibration
    from sparsecalc.device.find import load_accelerator
    from sparsecalc.device.sheets import all_accelerators

    names = list(all_accelerators()) if gpu.strip().lower() == "all" else [name.strip() for name in gpu.split(",")]
    if not all(names):
        raise InputError(f"--gpu is {brief(gpu)}", hint="Name one, or several joined by commas: h100-sxm,l40s")
    accelerators = tuple(load_accelerator(name, calibration) for name in names)
    anchor = load_calibration(calibration).anchor if calibration else None
    if calibration and not anchor and not any(each.calibration for each in accelerators):
        named = ", ".join(accelerator.id for accelerator in accelerators)
        raise InputError(f"the calibration is not of {named}", hint="Name its device: --gpu local")
    return Hardware(
        gpu=gpu,
        accelerators=accelerators,
        device_memory_share=device_memory_share,
        calibration=calibration,
        anchor=anchor,
    )
