"""Options that several commands share, and the `Question` that they make."""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from sparsecalc.cli._llama_options import CONTEXT_SIZE, LLAMA_MEMORY
from sparsecalc.core.number_lists import number, whole
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.reports.formats import FORMATS


def default_of(name: str) -> str:
    """`(default: 4096)`: what engines do unless they are told otherwise, as it ends the help of an option."""
    return f"(default: {engine_default(name):g})"


Format = Annotated[str, typer.Option("--format", "-f", help=", ".join(FORMATS))]
Json = Annotated[bool, typer.Option("--json", help="the same as --format json")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="write to this file instead of stdout")]
Gpu = Annotated[
    str | None,
    typer.Option(help="accelerators (sparsecalc gpus), 2xh100, local, 8gb:448gb/s:20tflops, a list, all: does it fit"),
]
NumGpus = Annotated[int | None, typer.Option("--num-gpus", help="how many of them (default: what tp, pp, dp make)")]
SeveralNumGpus = Annotated[
    str | None, typer.Option("--num-gpus", help="how many of them, a list: 2,4 (default: what tp, pp, dp make)")
]
Batch = Annotated[str, typer.Option("--batch-size", help="sequences held at once (not llama.cpp's -b), a list: 1,8,64")]
Context = Annotated[
    str | None,
    typer.Option(
        "--context", "--max-model-len", help=f"tokens per sequence, a list: 4k,32k {default_of('context_len')}"
    ),
]
Tp = Annotated[str | None, typer.Option("--tp", help="tensor-parallel devices, a list: 1,2,4")]
Pp = Annotated[str | None, typer.Option("--pp", help="pipeline stages, a list")]
Ep = Annotated[str | None, typer.Option("--ep", help="ranks of expert parallelism, a divisor of tp x dp, a list")]
Dp = Annotated[
    str | None,
    typer.Option("--dp", help="copies of the attention, each with its own sequences, a list"),
]
WholeExperts = Annotated[
    bool, typer.Option("--enable-expert-parallel", help="whole experts on each device: ep = tp x dp")
]
MaxSeqs = Annotated[
    int | None, typer.Option("--max-num-seqs", help="sequences that the engine runs at once (default: the engine's)")
]
Eager = Annotated[bool, typer.Option("--enforce-eager", help="no CUDA graphs")]
CacheBytes = Annotated[
    int | None, typer.Option("--kv-cache-memory-bytes", help="bytes of KV cache per device (default: what is left)")
]
BlockSize = Annotated[
    int | None,
    typer.Option("--block-size", parser=whole, help="tokens of a block of the KV cache (default: the engine's)"),
]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="vllm (vllm@0.27: its release), sglang, trtllm, llama.cpp,... (default: generic)"),
]
RoutingOf = Annotated[
    str, typer.Option("--routing", help="uniform, zipf:1.0, dirichlet:0.5, or a file of counts per expert")
]
Replicas = Annotated[int | None, typer.Option("--eplb-replicas", help="balance experts, with so many redundant ones")]
Offload = Annotated[
    str | None,
    typer.Option("--offload", help="in host memory: experts=0.5, layers=0.3, experts=1@epyc-9654 (on a CPU)"),
]
GpuLayers = Annotated[
    str | None,
    typer.Option("--n-gpu-layers", help="-ngl of llama.cpp: layers on devices, output included (default: all)"),
]
CpuMoeLayers = Annotated[
    int | None, typer.Option("--n-cpu-moe", help="-ncmoe of llama.cpp: experts of the first layers in host memory")
]
CpuMoe = Annotated[bool, typer.Option("--cpu-moe", help="-cmoe of llama.cpp: all routed experts in host memory")]
OverrideTensor = Annotated[
    list[str] | None,
    typer.Option(
        "--override-tensor",
        metavar="<str>",
        help="-ot of llama.cpp: REGEX=CPU or REGEX=CUDA1, of tensors' names, a list",
    ),
]
SplitMode = Annotated[
    str | None, typer.Option("--split-mode", help="-sm of llama.cpp: layer, row or none, over several devices")
]
TensorSplit = Annotated[
    str | None, typer.Option("--tensor-split", help="-ts of llama.cpp: proportions of devices: 3,1 (default: even)")
]
Threads = Annotated[int | None, typer.Option("-t", "--threads", help="threads of the host (default: its cores)")]
HostOf = Annotated[
    str | None,
    typer.Option("--host", help="host, by commas: CPU, memory, link: i9-14900k, ddr5-6000x2:64g, pcie4x16"),
]
PromptLen = Annotated[int | None, typer.Option("--prompt-len", parser=whole, help="tokens of a request's prompt: 8k")]
OutputLen = Annotated[
    int | None,
    typer.Option("--output-len", parser=whole, help=f"tokens of its answer {default_of('output_len')}"),
]
Concurrency = Annotated[int | None, typer.Option(help="requests in flight (default: the batch size)")]
DraftTokens = Annotated[int, typer.Option("--draft-tokens", help="speculative decoding: guesses per step")]
Acceptance = Annotated[float | None, typer.Option(help="share of guesses that are accepted, one by one")]
DraftModel = Annotated[
    str | None, typer.Option("--draft-model", help="the model that guesses (default: costs nothing)")
]
Prediction = Annotated[
    bool | None,
    typer.Option(
        "--mtp/--no-mtp",
        help="multi-token prediction: the model's own layers guess, as its publisher says (default: off)",
    ),
]
CalibrationFile = Annotated[
    str | None,
    typer.Option("--calibration", help="constants of your own device: a file of sparsecalc calibrate, or local"),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="weights: bf16, fp8, int4, q4_k, experts=mxfp4,... (default: the config's), a list: bf16,fp8"),
]
KvDtype = Annotated[str | None, typer.Option("--kv-cache-dtype", help="KV cache (default: bf16)")]
Share = Annotated[
    float | None,
    typer.Option(
        "--gpu-memory-utilization",
        help=f"share of a device to use {default_of('device_memory_share')}",
    ),
]
Batched = Annotated[
    int | None,
    typer.Option(
        "--max-num-batched-tokens",
        parser=whole,
        help=f"prompt tokens computed at once {default_of('max_num_batched_tokens')}",
    ),
]
WithParts = Annotated[
    str | None, typer.Option("--with", help="parts beside the text decoder that count as weights: vision, audio, mtp")
]
FromArchitecture = Annotated[
    bool, typer.Option("--from-architecture", help="count transformers' own class, for a model_type without a reader")
]


def _spelling(kind: type, of: str) -> Any:
    """An option as an engine names it, another spelling of one that help lists."""
    return Annotated[kind | None, typer.Option(hidden=True, help=f"another spelling of {of}")]


def _short(kind: Any, name: str, of: str) -> Any:
    """The same under llama.cpp's short name: one dash and several letters, for which help has no column."""
    return Annotated[kind, typer.Option(name, hidden=True, help=f"another spelling of {of}")]


Options = dict[str, tuple[Any, Any]]
"""Annotation and default of options by their Python names."""

FORMATS_ASKED: Options = {
    "dtype": (Dtype, None),
    "kv_cache_dtype": (KvDtype, None),
    "quantization": (_spelling(str, "--dtype"), None),
}
LOAD: Options = {"batch_size": (Batch, "1"), "context": (Context, None), **CONTEXT_SIZE, **FORMATS_ASKED}
DEVICES: Options = {
    "gpu": (Gpu, None),
    "num_gpus": (SeveralNumGpus, None),
    "tp": (Tp, None),
    "pp": (Pp, None),
    "ep": (Ep, None),
    "dp": (Dp, None),
    "enable_expert_parallel": (WholeExperts, False),
    "engine": (EngineName, None),
    "routing": (RoutingOf, "uniform"),
    "eplb_replicas": (Replicas, None),
    "offload": (Offload, None),
    "n_gpu_layers": (GpuLayers, None),
    "n_cpu_moe": (CpuMoeLayers, None),
    "cpu_moe": (CpuMoe, False),
    "override_tensor": (OverrideTensor, None),
    "split_mode": (SplitMode, None),
    "tensor_split": (TensorSplit, None),
    "threads": (Threads, None),
    "host": (HostOf, None),
    "calibration": (CalibrationFile, None),
    "gpu_memory_utilization": (Share, None),
    "max_num_seqs": (MaxSeqs, None),
    "enforce_eager": (Eager, False),
    "kv_cache_memory_bytes": (CacheBytes, None),
    "block_size": (BlockSize, None),
    **LLAMA_MEMORY,
    "tensor_parallel_size": (_spelling(str, "--tp"), None),
    "pipeline_parallel_size": (_spelling(str, "--pp"), None),
    "data_parallel_size": (_spelling(str, "--dp"), None),
    "ngl": (_short(str | None, "-ngl", "--n-gpu-layers"), None),
    "ncmoe": (_short(int | None, "-ncmoe", "--n-cpu-moe"), None),
    "cmoe": (_short(bool, "-cmoe", "--cpu-moe"), False),
    "ot": (_short(list[str] | None, "-ot", "--override-tensor"), None),
    "sm": (_short(str | None, "-sm", "--split-mode"), None),
    "ts": (_short(str | None, "-ts", "--tensor-split"), None),
    "gpu_layers": (_spelling(str, "--n-gpu-layers"), None),
    "mem_fraction_static": (_spelling(float, "--gpu-memory-utilization"), None),
}
REQUESTS: Options = {
    "prompt_len": (PromptLen, None),
    "output_len": (OutputLen, None),
    "concurrency": (Concurrency, None),
    "max_num_batched_tokens": (Batched, None),
}
SPECULATION: Options = {
    "draft_tokens": (DraftTokens, 0),
    "acceptance": (Acceptance, None),
    "draft_model": (DraftModel, None),
    "mtp": (Prediction, None),
}
PARTS: Options = {"with_parts": (WithParts, None)}
OUTPUT: Options = {"format": (Format, "table"), "json": (Json, False), "output": (Output, None)}
Command = Callable[..., None]


def takes(*groups: Options) -> Callable[[Command], Command]:
    """Give a command the options of `groups` behind its own; it gets them by name in `**given`."""

    def decorate(command: Command) -> Command:
        own = [each for each in signature(command).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        shared = {name: option for group in groups for name, option in group.items()}
        added = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in shared.items()
        ]
        hints = {name: annotation for name, (annotation, _) in shared.items()}
        command.__annotations__ = {**command.__annotations__, **hints}
        command.__signature__ = Signature([*own, *added])  # type: ignore[attr-defined]
        return command

    return decorate


def check_output(given: dict[str, Any]) -> str:
    """The format that the options of `OUTPUT` ask for. Raises InputError where it or the file cannot be written."""
    from sparsecalc.cli._output import check_target

    name = "json" if given["json"] else given["format"]
    check_target(given["output"], name)
    return str(name)


def emit_as_asked(given: dict[str, Any], find: Callable[[], Any]) -> None:
    """What `find` returns, in the format and to the place that the options of `OUTPUT` say."""
    from sparsecalc.cli._output import emit

    name = check_output(given)
    emit(find(), name, given["output"])


MOST_VALUES = 64


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The values of a list such as `1,8,64` or `1k,128k,1M` (x 1024, x 1024^2). Raises InputError where it is none."""
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    try:
        values = tuple(map(number, text.split(",")))
    except ValueError as error:
        raise InputError(f"{option} is {brief(text)}", hint="It is a number or a list of them: 8 or 1,8,64") from error
    if len(values) > MOST_VALUES:
        raise InputError(f"{option} has {len(values)} values", hint=f"It takes at most {MOST_VALUES}")
    return values


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """`numbers` that must be whole."""
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    values = numbers(text, option)
    if not all(value.is_integer() for value in values):
        raise InputError(f"{option} is {brief(text)}", hint="It takes whole numbers, one or a list: 8 or 1,8,64")
    return tuple(map(int, values))


def question(values: dict[str, Any], *, takes_layouts: bool = False) -> Any:
    """The options of a command as the `Question` that they ask.

    Raises InputError for lists of layouts and formats where the command does not take them.
    """
    from sparsecalc.decide.question import ask

    asked = ask(**question_options(values))
    return asked if takes_layouts else asked.in_one_layout()


def question_options(values: dict[str, Any]) -> dict[str, Any]:
    """The options of a command under the names of `ask`."""
    from sparsecalc.decide.engine_words import plain

    typed = {_NAMES.get(name, name): value for name, value in values.items() if name not in OUTPUT}
    given = plain({name: value for name, value in typed.items() if value is not None})
    if "calibration" in given:
        given.setdefault("gpu", "local")
    given["batch_size"] = whole_numbers(values["batch_size"], "--batch-size")
    if context := values["context"] or values.get("ctx_size"):
        given["context_len"] = whole_numbers(context, "--context")
    else:
        given.pop("context_len", None)
    for name in DEGREES:
        if name in given:
            counts = whole_numbers(given[name], f"--{name.replace('_', '-')}")
            given[name] = counts if len(counts) > 1 else counts[0]
    return given


DEGREES = ("num_gpus", "tp", "pp", "dp", "ep")
"""Options that take lists of whole numbers."""
_NAMES = {"context": "context_len"}
"""Options whose names are not those of `ask`."""
