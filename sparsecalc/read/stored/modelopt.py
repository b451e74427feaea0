"""NVIDIA ModelOpt: one algorithm for all layers, or one for each (MIXED_PRECISION), and the modules left alone.

Rules as in vLLM 0.33.0, model_executor/layers/quantization/modelopt.py. The same entries stand in config.json, or in
hf_quant_config.json beside it.
"""

from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored import compressed_tensors
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import texts, wildcards
from sparsecalc.read.stored.scheme import Scheme, Section, UnknownSchemeError, cache_format, fp8, packed

FP32_BYTES = 4


def read(section: Section) -> Scheme:
    """The scheme of quant_algo, quantized_layers, exclude_modules (or ignore) and kv_cache_quant_algo."""
    entries = section.entries
    algorithm = entries.get("quant_algo")
    if algorithm is None:
        return compressed_tensors.read(section)
    excluded = wildcards([*texts(entries.get("exclude_modules")), *texts(entries.get("ignore"))])
    mixed = str(algorithm).upper() == "MIXED_PRECISION"
    if mixed and not section.section("quantized_layers"):
        raise UnknownSchemeError("MIXED_PRECISION without quantized_layers")
    whole = None if mixed else _format(section, entries)
    layers = _layers(section)

    starts = tuple({name.partition(".layers.")[0] for name in layers})

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear":
            return None
        if mixed:
            return next((found for name in module.names if (found := _of_holder(layers, name))), None)
        return None if excluded(module.names) else whole

    return Scheme(rule, kv_cache(entries), starts=starts if mixed else ())


def kv_cache(entries: dict[str, Any]) -> NumberFormat | None:
    """The KV cache's format, from kv_cache_quant_algo or kv_cache_scheme."""
    scheme, algorithm = entries.get("kv_cache_scheme"), entries.get("kv_cache_quant_algo")
    if isinstance(scheme, dict):
        return cache_format(scheme.get("num_bits"), scheme.get("type", "float"))
    name = str(algorithm or scheme or "").upper()
    return number_format("fp8") if name == "FP8" else number_format("nvfp4") if name == "NVFP4" else None


def _layers(section: Section) -> dict[str, NumberFormat | None]:
    """The format of each entry of quantized_layers; there may be as many as experts, in a few formats."""
    known: dict[tuple[str, str], NumberFormat | None] = {}
    found = {}
    for name, entries in section.section("quantized_layers").items():
        if isinstance(entries, dict):
            key = (str(entries.get("quant_algo")), str(entries.get("group_size")))
            if key not in known:
                known[key] = _format(section, entries)
            found[name] = known[key]
    return found


def _of_holder(layers: dict[str, NumberFormat | None], name: str) -> NumberFormat | None:
    """The format of a module, or of the nearest module that holds it: experts are named together."""
    while name and name not in layers:
        name = name.rpartition(".")[0]
    return layers.get(name)


def _format(section: Section, entries: dict[str, Any]) -> NumberFormat | None:
    """Scales per algorithm: FP8 weight and input, FP32; NVFP4 one E4M3 per 16 and two FP32 per matrix."""
    name = str(entries.get("quant_algo")).upper()
    group = section.whole("group_size", 0, entries)
    if name in ("NVFP4", "NVFP4_AWQ", "W4A8_NVFP4_FP8", "W4A16_NVFP4", "NVFP4_SVDQUANT"):
        found = number_format("nvfp4-w4a16" if name.startswith("W4A16") else "nvfp4")
        if name.startswith("W4A8"):
            found = found.but(compute="fp8", compute_needs="fp8")
        return found.but(block_cols=group or 16, tensor_bytes=2 * FP32_BYTES)
    if name == "FP8":
        return fp8("tensor", FP32_BYTES, more_bytes=FP32_BYTES)
    if name in ("FP8_PB_WO", "FP8_PB_REAL"):
        return fp8("block", FP32_BYTES)
    if name in ("FP8_PER_CHANNEL_PER_TOKEN", "FP8_PC_PT"):
        return fp8("channel", FP32_BYTES)
    if name in ("MXFP8", "MXFP4", "W4A8_MXFP4_FP8"):
        return number_format("mxfp8" if name == "MXFP8" else "mxfp4")
    if name in ("W4A16_AWQ", "W4A8_AWQ", "INT4_AWQ"):
        return packed(4, group or 128, block_bytes=section.scale_bytes)
    if name in ("W8A8_SQ_PER_CHANNEL", "W8A16"):
        return number_format("int8")
    raise UnknownSchemeError(f"quant_algo {brief(entries.get('quant_algo'))}")
