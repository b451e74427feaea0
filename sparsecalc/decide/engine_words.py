"""Options as serving engines name them: other spellings of those of `ask`, and what an engine is told of its memory."""

import re
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.estimate.engine_memory.rules import EngineOptions

SPELLINGS = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "gpu_memory_utilization": "device_memory_share",
    "mem_fraction_static": "device_memory_share",
    "max_model_len": "context_len",
    "quantization": "dtype",
}
"""Engines' names of options, and the names that `ask` has for them."""

KV_CACHE_FORMATS = {"auto": None, "fp8_e5m2": "fp8", "fp8_e4m3": "fp8"}
"""Values of --kv-cache-dtype in engines: what the model is computed in, and the two layouts of 8 bits."""

LARGEST = 2**53


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options under the names of `ask`. Raises InputError where one is given twice."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        known = SPELLINGS.get(name, name)
        if known in found:
            raise InputError(f"{name} is {known}, which is given too", hint="Give one of them")
        found[known] = value
    return found


def kv_cache_format(name: str | None) -> str | None:
    """The number format that a --kv-cache-dtype means; None: 16 bits."""
    return KV_CACHE_FORMATS.get(name, name) if name else None


def engine_release(engine: str | None) -> str:
    """`0.27.1` of `vllm@0.27.1`; empty where none is told. Raises InputError where it is no release."""
    release = (engine or "").partition("@")[2].strip()
    if release and not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,3}", release):
        raise InputError(f"the engine is {brief(engine or '')}", hint="A release is numbers: vllm@0.27.1")
    return release


def engine_options(**given: Any) -> EngineOptions:
    """What an engine is told of its memory. Raises InputError for a number out of range."""
    for name, value in given.items():
        if value is not None and not 0 < value <= LARGEST and name != "enforce_eager":
            raise InputError(f"{name.replace('_', '-')} is {value}", hint="It must be 1 or more")
    return EngineOptions(**given)
