"""Options as serving engines name them: other spellings of those of `ask`, and what an engine is told of its memory."""

import re
from collections.abc import Sequence
from typing import Any, TypedDict

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.decide.asked_host import NAMES as HOST_NAMES
from sparsecalc.estimate.engine_memory.rules import EngineOptions

SPELLINGS = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "gpu_memory_utilization": "device_memory_share",
    "mem_fraction_static": "device_memory_share",
    "max_model_len": "context_len",
    "quantization": "dtype",
    "gpu_layers": "n_gpu_layers",
    "ngl": "n_gpu_layers",
    "ncmoe": "n_cpu_moe",
    "cmoe": "cpu_moe",
    "ot": "override_tensor",
    "sm": "split_mode",
    "ts": "tensor_split",
}
"""Engines' names of options, and the names that `ask` has for them."""

KV_CACHE_FORMATS = {"auto": None, "fp8_e5m2": "fp8", "fp8_e4m3": "fp8"}
"""Values of --kv-cache-dtype in engines: what the model is computed in, and the two layouts of 8 bits."""

COMPUTED_IN = ("auto", "half", "float16", "bfloat16")
"""Values of --dtype in engines beside --quantization: what is computed in, not what is stored."""

LARGEST = 2**53


class EngineWords(TypedDict, total=False):
    """What `ask` passes on to the engine, under the engine's names."""

    enable_expert_parallel: bool
    mtp: bool | None
    test: str
    max_num_seqs: int
    enforce_eager: bool
    kv_cache_memory_bytes: int
    block_size: int
    n_gpu_layers: str | int
    n_cpu_moe: int
    cpu_moe: bool
    override_tensor: str | Sequence[str]
    split_mode: str
    tensor_split: str
    threads: int
    host: str


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options under the names of `ask`. Raises InputError where one is given twice.

    --quantization goes before a --dtype that says what is computed in, as engines have it.
    """
    found: dict[str, Any] = {}
    if options.get("quantization") and options.get("dtype") in COMPUTED_IN:
        options = {name: value for name, value in options.items() if name != "dtype"}
    for name, value in options.items():
        if name in SPELLINGS and (value is False or value == []):
            continue
        known = SPELLINGS.get(name, name)
        if found.get(known):
            raise InputError(f"{name} is another spelling of {known}, and both are given", hint="Give one of them")
        found[known] = value
    return found


def kv_cache_format(name: str | None) -> str | None:
    """The number format that a --kv-cache-dtype means; None: 16 bits."""
    return KV_CACHE_FORMATS.get(name, name) if name else None


def engine_release(engine: str | None) -> str:
    """`0.27.1` of `vllm@0.27.1`; empty where none is told. Raises InputError where it is no release."""
    release = (engine or "").partition("@")[2].strip()
    if release and not re.fullmatch(r"b\d{1,5}|\d{1,4}(\.\d{1,4}){0,3}", release):
        hint = "A release is numbers, a build of llama.cpp a b before one: vllm@0.27.1, llama.cpp@b9739"
        raise InputError(f"the engine is {brief(engine or '')}", hint=hint)
    return release


def engine_options(**given: Any) -> EngineOptions:
    """What an engine is told of its memory. Raises InputError for a number out of range."""
    given = {name: value for name, value in given.items() if name not in HOST_NAMES}
    for name, value in given.items():
        if value is not None and not 0 < value <= LARGEST and name != "enforce_eager":
            raise InputError(f"{name.replace('_', '-')} is {value}", hint="It must be 1 or more")
    return EngineOptions(**given)
