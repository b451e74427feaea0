"""Options as serving engines name them: other spellings of those of `ask`, and what an engine is told of its memory."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
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
    "ctx_size": "context_len",
    "ngl": "n_gpu_layers",
    "ncmoe": "n_cpu_moe",
    "cmoe": "cpu_moe",
    "ot": "override_tensor",
    "sm": "split_mode",
    "ts": "tensor_split",
    "ub": "ubatch_size",
    "ctk": "cache_type_k",
    "ctv": "cache_type_v",
    "fa": "flash_attn",
    "np": "parallel",
}
"""Engines' names of options, and the names that `ask` has for them."""

KV_CACHE_FORMATS = {"auto": None, "fp8_e5m2": "fp8", "fp8_e4m3": "fp8", "f16": "fp16", "f32": "fp32"}
"""Values of --kv-cache-dtype in engines: what the model is computed in, and the two layouts of 8 bits."""

COMPUTED_IN = ("auto", "half", "float16", "bfloat16")
"""Values of --dtype in engines beside --quantization: what is computed in, not what is stored."""

CACHE_TYPES = ("cache_type_k", "cache_type_v")
"""llama.cpp's -ctk and -ctv, which are formats and not options of the engine."""

FLASH_ATTENTION = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "auto", "-1": "auto"}
"""Values of -fa, as llama-server and llama-bench take them."""

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
    ubatch_size: int
    cache_type_k: str
    cache_type_v: str
    flash_attn: str
    swa_full: bool
    parallel: int
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


def kv_cache_format(name: str | None, told: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """The number format that a --kv-cache-dtype means, `q8_0/fp16` where keys and values differ; None: 16 bits.

    `told`: with llama.cpp's -ctk and -ctv. Raises InputError where both ways are taken.
    """
    keys, values = (told.get(option) for option in CACHE_TYPES)
    if name and (keys or values):
        raise InputError("--kv-cache-dtype is given beside -ctk or -ctv", hint="Leave one of them out")
    if keys or values:
        name = f"{keys or 'f16'}/{values or 'f16'}"
    if not name:
        return None
    parts = [KV_CACHE_FORMATS.get(part, part) for part in name.lower().split("/")]
    return "/".join(part or "bf16" for part in dict.fromkeys(parts)) if any(parts) else None


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
    given = {name: value for name, value in given.items() if name not in CACHE_TYPES}
    for name, value in given.items():
        if isinstance(value, int) and not isinstance(value, bool) and not 0 < value <= LARGEST:
            raise InputError(f"{name.replace('_', '-')} is {value}", hint="It must be 1 or more")
    if given.get("flash_attn") is not None:
        given["flash_attn"] = _flash_attention(given["flash_attn"])
    return EngineOptions(**given)


def _flash_attention(word: str) -> str:
    """on, off or auto, or one of llama.cpp's other words for them."""
    found = FLASH_ATTENTION.get(word.strip().lower())
    if found is None:
        raise InputError(f"--flash-attn is {brief(word)}", hint="It is on, off or auto")
    return found
