"""A config's own quantization_config as formats by component."""

from typing import Any

from sparsecalc.core.text import brief, printable
from sparsecalc.data_files import read_data
from sparsecalc.read.fields import Fields


def stored_formats(quantization: Any, config: Fields) -> dict[str, str] | None:
    """{"weights": format id, component: format id} for the schemes that are known; a warning for the others."""
    if not quantization:
        return None
    if not isinstance(quantization, dict):
        config.note("quantization", "quantization_config is not an object: weights count as bf16")
        return None
    method = str(quantization.get("quant_method") or quantization.get("quant_algo") or "").lower()
    if method == "fp8" or method == "fbgemm_fp8":
        block = quantization.get("weight_block_size")
        if block not in (None, [128, 128]):
            config.note("quantization", f"fp8 blocks of {brief(block)} are counted as 128 x 128")
        return {"weights": "fp8-block" if block else "fp8"}
    if method == "mxfp4":
        return {"weights": "bf16", "routed_experts": "mxfp4"}
    if method in ("gptq", "awq") and quantization.get("bits", 4) in (4, 8):
        if quantization.get("bits", 4) == 8:
            return {"weights": "int8"}
        group = quantization.get("group_size", 128)
        if group not in (32, 64, 128):
            config.note("quantization", f"int4 groups of {brief(group)} are counted as 128")
        return {"weights": "int4-g32" if group == 32 else "int4-g64" if group == 64 else "int4"}
    if method == "bitsandbytes":
        return {"weights": "nf4" if quantization.get("load_in_4bit") else "int8"}
    if method in ("modelopt", "nvfp4") and "FP4" in str(quantization.get("quant_algo", "NVFP4")).upper():
        return {"weights": "nvfp4"}
    found = None
    if method == "compressed-tensors":
        found = _compressed(quantization)
    elif method == "gguf":
        found = _gguf(quantization)
    if found is None:
        text = f"quantization_config ({printable(_named(quantization, method), 60)}) is not understood"
        config.note("quantization", f"{text}: weights count as bf16")
    return found


def _named(quantization: dict[str, Any], method: str) -> str:
    kind = quantization.get("tensor_type")
    return f"{method}, {kind}" if method and isinstance(kind, str) else method or "unnamed"


def _gguf(quantization: dict[str, Any]) -> dict[str, str] | None:
    """GGUF: the file's commonest tensor type, by llama.cpp's name of it."""
    kind = quantization.get("tensor_type")
    known = next(
        (entry["id"] for entry in read_data("formats.json")["formats"] if kind in (entry["id"], *entry["aliases"])),
        None,
    )
    return {"weights": known} if known else None


def _compressed(quantization: dict[str, Any]) -> dict[str, str] | None:
    """compressed-tensors: the first group's weights decide."""
    groups = quantization.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = (group or {}).get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        return None
    bits, kind, size = weights.get("num_bits"), weights.get("type"), weights.get("group_size")
    table = {
        (4, "int", 32): "int4-g32",
        (4, "int", 64): "int4-g64",
        (4, "int", 128): "int4",
        (4, "float", 16): "nvfp4",
        (4, "float", 32): "mxfp4",
        (8, "int", None): "int8",
        (8, "int", -1): "int8",
    }
    if (bits, kind) == (8, "float"):
        blocked = weights.get("strategy") == "block"
        return {"weights": "fp8-block" if blocked else "fp8-channel" if weights.get("strategy") == "channel" else "fp8"}
    found = next((name for scheme, name in table.items() if scheme == (bits, kind, size)), None)
    return {"weights": found} if found else None
