"""A config's own quantization_config as formats by component."""

from collections.abc import Sequence
from typing import Any

from sparsecalc.core.text import brief, printable
from sparsecalc.data_files import read_data
from sparsecalc.model.spec import Layer
from sparsecalc.read.fields import Fields
from sparsecalc.read.unquantized import kept_layers


def stored_formats(quantization: Any, config: Fields, layers: Sequence[Layer] = ()) -> dict[str, str] | None:
    """{"weights": format id, component: format id} for the schemes that are known; a warning for the others.

    With the model's `layers`, components that the scheme's lists leave alone in all layers stay in bf16.
    """
    if not quantization:
        return None
    if not isinstance(quantization, dict):
        config.note("quantization", "quantization_config is not an object: weights count as bf16")
        return None
    method = str(quantization.get("quant_method") or quantization.get("quant_algo") or "").lower()
    read = _METHODS.get(method)
    found = read(quantization, config) if read else None
    if found is None:
        kind = quantization.get("tensor_type")
        named = f"{method}, {kind}" if method and isinstance(kind, str) else method or "unnamed"
        text = f"quantization_config ({printable(named, 60)}) is not understood: weights count as bf16"
        config.note("quantization", text)
        return None
    partly = []
    for part, (kept, count) in kept_layers(quantization, layers).items():
        if kept == count:
            found[part] = "bf16"
        else:
            partly.append(f"{part} in {kept} of {count} layers")
    if partly:
        text = f"left in 16 bits by quantization_config, but counted as quantized: {', '.join(partly)}"
        config.note("quantization", text)
    return found


def _fp8(quantization: dict[str, Any], config: Fields) -> dict[str, str]:
    block = quantization.get("weight_block_size")
    if block not in (None, [128, 128]):
        config.note("quantization", f"fp8 blocks of {brief(block)} are counted as 128 x 128")
    found = {"weights": "fp8-block" if block else "fp8"}
    if str(config.raw("expert_dtype", default=None)) == "fp4":
        found["routed_experts"] = "mxfp4"
    experts = str(quantization.get("moe_quant_algo")).upper()
    return found | next(({"routed_experts": known} for name, known in _ALGORITHMS if name == experts), {})


def _mxfp8(quantization: dict[str, Any], config: Fields) -> dict[str, str]:
    return {"weights": "mxfp8"}


def _mxfp4(quantization: dict[str, Any], config: Fields) -> dict[str, str]:
    return {"weights": "bf16", "routed_experts": "mxfp4"}


def _integers(quantization: dict[str, Any], config: Fields) -> dict[str, str] | None:
    """GPTQ and AWQ: 4 bits in groups, or 8."""
    bits, group = quantization.get("bits", 4), quantization.get("group_size", 128)
    if bits == 8:
        return {"weights": "int8"}
    if bits != 4:
        return None
    if group not in (32, 64, 128):
        config.note("quantization", f"int4 groups of {brief(group)} are counted as 128")
    return {"weights": "int4-g32" if group == 32 else "int4-g64" if group == 64 else "int4"}


def _bitsandbytes(quantization: dict[str, Any], config: Fields) -> dict[str, str]:
    return {"weights": "nf4" if quantization.get("load_in_4bit") else "int8"}


def _modelopt(quantization: dict[str, Any], config: Fields) -> dict[str, str] | None:
    """By quant_algo (one for all layers), or as compressed-tensors where only config_groups says it."""
    algorithm = quantization.get("quant_algo")
    if algorithm is None:
        return _compressed(quantization, config)
    return next(({"weights": known} for name, known in _ALGORITHMS if name == str(algorithm).upper()), None)


def _nvfp4(quantization: dict[str, Any], config: Fields) -> dict[str, str]:
    return {"weights": "nvfp4"}


def _gguf(quantization: dict[str, Any], config: Fields) -> dict[str, str] | None:
    """GGUF: the file's commonest tensor type, by llama.cpp's name of it."""
    kind = quantization.get("tensor_type")
    for entry in read_data("formats.json")["formats"]:
        if kind == entry["id"] or kind in entry["aliases"]:
            return {"weights": entry["id"]}
    return None


def _compressed(quantization: dict[str, Any], config: Fields) -> dict[str, str] | None:
    """compressed-tensors: the first group's weights decide."""
    groups = quantization.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = (group or {}).get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        return None
    bits, kind, size = weights.get("num_bits"), weights.get("type"), weights.get("group_size")
    if (bits, kind) == (8, "float"):
        blocked = weights.get("strategy") == "block"
        return {"weights": "fp8-block" if blocked else "fp8-channel" if weights.get("strategy") == "channel" else "fp8"}
    found = next((name for scheme, name in _SCHEMES if scheme == (bits, kind, size)), None)
    return {"weights": found} if found else None


_SCHEMES = (
    ((4, "int", 32), "int4-g32"),
    ((4, "int", 64), "int4-g64"),
    ((4, "int", 128), "int4"),
    ((4, "float", 16), "nvfp4"),
    ((4, "float", 32), "mxfp4"),
    ((8, "int", None), "int8"),
    ((8, "int", -1), "int8"),
)
"""Bits, type and group size of compressed-tensors weights."""

_ALGORITHMS = (
    *(("NVFP4", "nvfp4"), ("NVFP4_AWQ", "nvfp4"), ("W4A8_NVFP4_FP8", "nvfp4"), ("W4A16_NVFP4", "nvfp4")),
    *(("FP8", "fp8"), ("FP8_PB_WO", "fp8-block"), ("FP8_PB_REAL", "fp8-block")),
    *(("FP8_PER_CHANNEL_PER_TOKEN", "fp8-channel"), ("MXFP8", "mxfp8")),
    *(("W4A16_AWQ", "int4"), ("W4A8_AWQ", "int4"), ("W8A8_SQ_PER_CHANNEL", "int8")),
)
"""ModelOpt's quant_algo."""

_METHODS = {
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "mxfp4": _mxfp4,
    "gptq": _integers,
    "awq": _integers,
    "bitsandbytes": _bitsandbytes,
    "auto-round": _integers,
    "intel/auto-round": _integers,
    "gptq_marlin": _integers,
    "awq_marlin": _integers,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt,
    "nvfp4": _nvfp4,
    "mxfp8": _mxfp8,
    "compressed-tensors": _compressed,
    "gguf": _gguf,
}
