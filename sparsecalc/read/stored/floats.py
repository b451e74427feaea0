"""FP8 in blocks, channels or whole tensors (DeepSeek, Qwen, Mistral, FBGEMM), MXFP4 experts (gpt-oss) and MXFP8.

Rules as in transformers 5.24: integrations/finegrained_fp8.py, fbgemm_fp8.py, mxfp4.py; quantizers_utils.py.
"""

from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored import modelopt
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import start_or_end, texts
from sparsecalc.read.stored.scheme import Scheme, Section, UnknownSchemeError, fp8

FP32_BYTES = 4


def fine_grained_fp8(section: Section) -> Scheme:
    """`weight_block_size` (FP32 scale per block), else a scale per tensor; experts in FP4 where expert_dtype is."""
    entries = section.entries
    block = entries.get("weight_block_size")
    static = FP32_BYTES if entries.get("activation_scheme") == "static" else 0
    mixed = entries.get("quantized_layers") and modelopt.read(section)
    if block is None:
        whole = fp8("tensor", FP32_BYTES, more_bytes=static)
    elif isinstance(block, list) and len(block) == 2 and all(isinstance(side, int) and side > 0 for side in block):
        small = entries.get("scale_fmt") == "ue8m0" and "expert_dtype" in entries  # E8M0 scales of one byte
        whole = fp8("block", 1 if small else FP32_BYTES, block=(block[0], block[1]), more_bytes=static)
    else:
        raise UnknownSchemeError(f"weight_block_size {brief(block)}")
    experts = number_format("mxfp4") if str(entries.get("expert_dtype")) == "fp4" else whole
    skipped = start_or_end([] if mixed else _lists(entries))  # beside quantized_layers the list is ModelOpt's

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or module.is_head or skipped(module.names):
            return None
        if mixed and (own := mixed.rule(module)):
            return own
        return experts if module.is_expert else whole

    return Scheme(rule, modelopt.kv_cache(entries))


def fbgemm_fp8(section: Section) -> Scheme:
    """An FP32 scale for each output feature."""
    return _all_linear(section, fp8("channel", FP32_BYTES))


def mxfp8(section: Section) -> Scheme:
    """One E8M0 scale for 32 neighbours of a row."""
    return _all_linear(section, number_format("mxfp8"))


def nvfp4(section: Section) -> Scheme:
    """One E4M3 scale for 16 neighbours of a row, an FP32 scale for each matrix."""
    return _all_linear(section, number_format("nvfp4"))


def mxfp4(section: Section) -> Scheme:
    """The experts' matrices alone, as transformers' Mxfp4GptOssExperts."""
    skipped = start_or_end(_lists(section.entries))
    found = number_format("mxfp4")
    return Scheme(lambda module: found if module.is_expert and not skipped(module.names) else None)


def _all_linear(section: Section, found: NumberFormat) -> Scheme:
    skipped = start_or_end(_lists(section.entries))

    def rule(module: Module) -> NumberFormat | None:
        return None if module.kind != "Linear" or module.is_head or skipped(module.names) else found

    return Scheme(rule)


def _lists(entries: dict[str, Any]) -> list[str]:
    return [
        *texts(entries.get("modules_to_not_convert")),
        *texts(entries.get("ignored_layers")),
        *texts(entries.get("ignore")),
    ]
