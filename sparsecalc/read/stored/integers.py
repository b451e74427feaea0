"""GPTQ, AWQ and AutoRound: integers in groups, packed into int32 words, with scales and zero points for each group.

Shapes as AutoGPTQ, GPTQModel and AutoAWQ write them: qweight, qzeros (as many bits as a weight), scales in 16 bits;
GPTQ also g_idx, an int32 for each input feature. Overrides as in vLLM 0.33.0, quantization/utils/gptq_utils.py.
"""

from collections.abc import Iterable
from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import compiled, start_or_end, texts
from sparsecalc.read.stored.scheme import Scheme, Section, fp8, packed

SCALE_BYTES = 2
FP32_BYTES = 4
INDEX_BYTES = 4
"""g_idx: an int32 for each input feature."""
UNQUANTIZED_BITS = 16
REGEX_SIGNS = frozenset("*+?^$()[]{}|\\")
"""What tells a regular expression of extra_config from a name."""


def gptq(section: Section) -> Scheme:
    """`bits`, `group_size`, `lm_head`, and `dynamic`: regular expressions with other values (`-:` skips)."""
    entries = section.entries
    whole = _gptq_format(section, entries)
    dynamic = [
        (pattern.startswith("-:"), compiled(pattern.removeprefix("-:").removeprefix("+:")), _merged(entries, changes))
        for pattern, changes in section.section("dynamic").items()
    ]
    overrides = [(skip, regex, _gptq_format(section, changed)) for skip, regex, changed in dynamic]
    skipped = start_or_end(texts(entries.get("modules_to_not_convert")))
    inside = _flat(entries.get("modules_in_block_to_quantize"))

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or skipped(module.names):
            return None
        for skip, regex, fmt in overrides:
            if any(regex.match(name) for name in module.names):
                return None if skip else fmt
        if module.is_head:
            return whole if entries.get("lm_head") is True else None
        if inside and not _ends(module, inside):
            return None
        return whole

    return Scheme(rule)


def awq(section: Section) -> Scheme:
    """`bits` (or w_bit), `group_size` (or q_group_size), `zero_point`, `modules_to_not_convert`."""
    entries = section.entries
    bits = section.whole("bits", section.whole("w_bit", 4))
    group = section.whole("group_size", section.whole("q_group_size", 128))
    zero = bits / 8 if entries.get("zero_point", True) else 0.0
    whole = packed(bits, group, block_bytes=SCALE_BYTES + zero)
    skipped = texts(entries.get("modules_to_not_convert"))

    def rule(module: Module) -> NumberFormat | None:
        left = any(entry in name for name in module.names for entry in skipped)  # any part of a name, as AutoAWQ
        left = left or (module.is_head and entries.get("lm_head") is not True)
        return None if module.kind != "Linear" or left else whole

    return Scheme(rule)


def autoround(section: Section) -> Scheme:
    """`bits`, `group_size`, `sym`, `data_type`, and `extra_config`: values of single modules; 16 bits: left alone.

    A key of extra_config is a module's name or its end, or a regular expression that is found in it; outside
    block_name_to_quantize nothing else is quantized. As vLLM 0.33.0, quantization/inc/config_parser.py.
    """
    entries = section.entries
    whole = _round_format(section, entries)
    extra = {
        name: _round_format(section, _merged(entries, changes))
        for name, changes in section.section("extra_config").items()
    }
    regexes = [(compiled(name), fmt) for name, fmt in extra.items() if set(name) & REGEX_SIGNS]
    blocks = entries.get("block_name_to_quantize") or entries.get("to_quant_block_names")
    blocks = blocks.split(",") if isinstance(blocks, str) else _flat(blocks)

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear":
            return None
        if named := next((key for key in extra if _ends(module, [key])), None):
            return extra[named]
        for regex, fmt in regexes:
            if any(regex.search(name) for name in module.names):
                return fmt
        inside = any(name.startswith(block) for name in module.names for block in blocks) if blocks else None
        return whole if inside or (inside is None and not module.is_head) else None

    return Scheme(rule)


def _flat(names: Any) -> list[str]:
    """The strings of a list, or of a list of lists."""
    nested = names if isinstance(names, list) else []
    return [*texts(nested), *(name for block in nested for name in texts(block))]


def _ends(module: Module, names: Iterable[str]) -> bool:
    """Whether a module has one of the names, whole or as its last parts."""
    ends = tuple(f".{name}" for name in names)
    return any(f".{name}".endswith(ends) for name in module.names)


def _gptq_format(section: Section, entries: dict[str, Any]) -> NumberFormat:
    bits, group = section.whole("bits", 4, entries), section.whole("group_size", 128, entries)
    return packed(bits, group, block_bytes=SCALE_BYTES + bits / 8, column_bytes=INDEX_BYTES)


def _round_format(section: Section, entries: dict[str, Any]) -> NumberFormat | None:
    """GPTQ's or AWQ's packing without g_idx; MX and NV floats by data_type."""
    bits, kind = section.whole("bits", 4, entries), str(entries.get("data_type") or "int")
    if bits >= UNQUANTIZED_BITS:
        return None
    sides = entries.get("group_size")
    if kind.startswith("fp") and bits == 8 and isinstance(sides, list) and len(sides) == 2:
        return fp8("block", FP32_BYTES, block=(section.side(sides[0]), section.side(sides[1])))
    group = section.whole("group_size", 128, entries)
    if kind.startswith(("mx_fp", "nv_fp")):
        if bits == 8:
            return number_format("mxfp8")
        wide = section.whole("act_bits", UNQUANTIZED_BITS, entries) >= UNQUANTIZED_BITS  # AutoRound's default
        return number_format(("nvfp4" if kind.startswith("nv") else "mxfp4") + "-w4a16" * wide)
    if kind.startswith("fp8"):
        return number_format("fp8-channel" if group < 0 else "fp8")
    return packed(bits, group, block_bytes=SCALE_BYTES + bits / 8)


def _merged(entries: dict[str, Any], changes: Any) -> dict[str, Any]:
    return {**entries, **changes} if isinstance(changes, dict) else entries
