"""bitsandbytes, torchao, quark, HQQ, BitNet, ExLlama and MLX: each as its own library writes it."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from math import ceil
from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import compiled, exact_or_regex, start_or_end, texts
from sparsecalc.read.stored.scheme import (
    MOST_BITS,
    Rule,
    Scheme,
    Section,
    UnknownSchemeError,
    cache_format,
    fp8,
    packed,
)

FP32_BYTES = 4
MLX_GROUPS = {"affine": 64, "mxfp4": 32, "mxfp8": 32, "nvfp4": 16}
"""MLX's group sizes where a config names none."""


def _left_alone(section: Section, key: str) -> Callable[[Module], bool]:
    """Modules that a list leaves alone; without one the LM head, as transformers' get_modules_to_not_convert."""
    listed = section.entries.get(key)
    skipped = start_or_end(texts(listed))
    return lambda module: module.is_head if listed is None else skipped(module.names)


def _linear(found: NumberFormat | None, left: Callable[[Module], bool]) -> Rule:
    """Every linear module but those that are left alone."""
    return lambda module: None if module.kind != "Linear" or left(module) else found


def bitsandbytes(section: Section) -> Scheme:
    """4 bits (nf4, fp4): an FP32 scale for 64, or with double quantization a byte, and FP32 for 256 of these; int8."""
    left = _left_alone(section, "llm_int8_skip_modules")
    if not (section.entries.get("load_in_4bit") or section.entries.get("_load_in_4bit")):
        return Scheme(_linear(number_format("int8"), left))
    found = number_format("nf4").but(id=str(section.entries.get("bnb_4bit_quant_type") or "fp4"))
    if not section.entries.get("bnb_4bit_use_double_quant"):
        found = found.but(bits=4, block_bytes=FP32_BYTES)
    return Scheme(_linear(found, left))


def bitnet(section: Section) -> Scheme:
    """Ternary weights, four to a byte along the output, and a scale in 16 bits for each matrix."""
    found = NumberFormat(id="ternary", bits=2, tensor_bytes=2, source="quantization_config")
    return Scheme(_linear(found, _left_alone(section, "modules_to_not_convert")))


def hqq(section: Section) -> Scheme:
    """`nbits` in groups with a scale and a zero point in 16 bits each; one setting, or one for each kind of module.

    skip_modules names kinds of modules (`lm_head`, `self_attn.q_proj`) and is [lm_head] where it is not given.
    """
    config = section.section("quant_config") or section.section("dynamic_config")
    kinds = {name: _hqq_format(section, own) for name, own in config.items() if isinstance(own, dict) and "." in name}
    whole = None if kinds else _hqq_format(section, config)
    left = _left_alone(section, "skip_modules")

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or left(module):
            return None
        named = (fmt for kind, fmt in kinds.items() if any(name.endswith(f".{kind}") for name in module.names))
        return next(named, whole)

    return Scheme(rule)


def _hqq_format(section: Section, config: dict[str, Any]) -> NumberFormat:
    """Ten values of 3 bits share 32, across groups (axis 1) or within each (axis 0, where the last is not full).

    Scales or zero points that are quantized themselves: a byte each, and 4 bytes for 128 of them.
    """
    weights = config.get("weight_quant_params", config)
    weights = weights if isinstance(weights, dict) else {}
    bits, group = section.whole("nbits", 4, weights), section.whole("group_size", 64, weights)
    quantized = sum(bool(config.get(key)) for key in ("scale_quant_params", "zero_quant_params"))
    found = packed(bits, group, block_bytes=4 - quantized * (1 - 4 / 128))
    if bits != 3:
        return found
    return found.but(bits=32 * ceil(group / 10) / group if weights.get("axis") == 0 and group > 0 else 32 / 10)


def exllama(section: Section) -> Scheme:
    """EXL2 and EXL3: an average of bits over all layers, `head_bits` for the LM head.

    EXL2's average includes its scales; EXL3 adds two vectors of signs in 16 bits (suh, svh) to each matrix, one as
    long as its input, one as its output. tensor_storage, where it stands in the config, tells each module's own bits.
    """
    bits, head = section.entries.get("bits"), section.entries.get("head_bits", 6)
    if isinstance(bits, bool) or not isinstance(bits, int | float) or not 0 < bits <= 16:
        raise UnknownSchemeError(f"bits {brief(bits)}")
    whole = NumberFormat(id=f"exl-{bits:g}bpw", bits=float(bits), source="quantization_config: the average it names")
    if section.entries.get("quant_method") == "exl3":
        whole = whole.but(block_cols=0, block_bytes=2, column_bytes=2)
    of_head = whole.but(id=f"exl-{head:g}bpw", bits=float(head)) if isinstance(head, int | float) else whole
    own = {name: whole.but(id=f"exl-{each:g}bpw", bits=each) for name, each in _exl_bits(section).items()}

    def rule(module: Module) -> NumberFormat | None:
        if named := next((name for name in module.names if name in own), None):
            return own[named]
        return None if own or module.kind != "Linear" else of_head if module.is_head else whole

    text = f"bits differ from tensor to tensor around an average of {bits:g}, which is counted for all of them"
    return Scheme(rule, warnings=() if own else (text,))


def _exl_bits(section: Section) -> dict[str, float]:
    """The bits of each module that tensor_storage names."""
    stored = section.section("tensor_storage").items()
    bits: dict[str, Any] = {name: entry.get("bits_per_weight") for name, entry in stored if isinstance(entry, dict)}
    return {name: float(each) for name, each in bits.items() if type(each) in (int, float) and 0 < each <= MOST_BITS}


def mlx(section: Section) -> Scheme:
    """`bits` and `group_size` for linear maps and embeddings, a scale and a bias in 16 bits for each group.

    An entry with a module's path overrides it, `false` leaves it alone; so does a row that is no multiple of the group.
    """
    whole = _mlx_format(section, section.entries)
    own = {
        name: _mlx_format(section, {**section.entries, **changes}) if isinstance(changes, dict) else None
        for name, changes in section.entries.items()
        if isinstance(changes, dict) or changes is False
    }

    def rule(module: Module) -> NumberFormat | None:
        named = next((name for name in _mlx_names(module) if name in own), None)
        found = own[named] if named else whole if module.kind else None
        return found if found and module.cols % (found.block_cols or 1) == 0 else None

    return Scheme(rule)


def _mlx_names(module: Module) -> list[str]:
    """MLX stacks a layer's experts: model.layers.0.mlp.switch_mlp.gate_proj."""
    stacked = [name.replace(".experts.{e}.", ".switch_mlp.") for name in module.names]
    return [*module.names, *stacked]


def _mlx_format(section: Section, entries: dict[str, Any]) -> NumberFormat:
    mode = entries.get("mode") or "affine"
    bits, group = section.whole("bits", 4, entries), section.whole("group_size", MLX_GROUPS.get(str(mode), 64), entries)
    if mode in ("mxfp4", "nvfp4", "mxfp8"):
        return number_format(mode).but(block_cols=group, tensor_bytes=0)
    if mode != "affine":
        raise UnknownSchemeError(f"mode {brief(mode)}")
    found = packed(bits, group, block_bytes=2 * section.scale_bytes)
    return found.but(id=f"{found.id}-affine" if group != 64 else f"int{bits}-g64-affine")


def torchao(section: Section) -> Scheme:
    """`quant_type` by its class or old name; FqnToConfig gives one for each module."""
    kind = section.entries.get("quant_type")
    kind = kind.get("default", kind) if isinstance(kind, dict) else kind
    embeds = section.entries.get("include_input_output_embeddings") is True
    left = _left_alone(section, "modules_to_not_convert")
    by_name = _torchao_by_name(kind)
    whole = None if by_name else _torchao_format(section, kind)
    own = {name: _torchao_format(section, each) if each else None for name, each in by_name.items()}

    def rule(module: Module) -> NumberFormat | None:
        if named := next((key for name in module.names for key in (f"{name}.weight", name) if key in own), None):
            return own[named]
        for pattern, fmt in own.items():
            if pattern.startswith("re:") and any(compiled(pattern[3:]).fullmatch(name) for name in module.names):
                return fmt
        outside = module.is_head or module.kind == "Embedding"
        kept = module.kind == "Embedding" or left(module)
        if not module.kind or (kept and not (embeds and outside)):
            return None
        return own.get("_default", whole)

    return Scheme(rule)


def _torchao_by_name(kind: Any) -> dict[str, Any]:
    data = kind.get("_data") if isinstance(kind, dict) else None
    found = data.get("fqn_to_config") or data.get("module_fqn_to_config") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _torchao_format(section: Section, kind: Any) -> NumberFormat | None:
    """Int4: a scale and a zero in 16 bits for each group; int8: a scale per channel; float8: per tensor or row.

    Names and default groups as torchao's classes have them (transformers 5.24 takes these only; older configs name
    int4_weight_only and the like).
    """
    name = str(kind.get("_type") if isinstance(kind, dict) else kind)
    data = kind.get("_data") if isinstance(kind, dict) else section.section("quant_type_kwargs")
    data = data if isinstance(data, dict) else {}
    plain = name.lower().replace("_", "").removesuffix("config")
    if plain.startswith(("intxweightonly", "uintxweightonly", "int8dynamicactivationintxweight")):
        return _torchao_intx(section, data)
    if plain.startswith(("int4weightonly", "int8dynamicactivationint4weight", "float8dynamicactivationint4weight")):
        group = 32 if plain.startswith("int8dynamic") else 128
        return packed(4, section.whole("group_size", group, data), block_bytes=2 * section.scale_bytes)
    if plain.startswith(("int8weightonly", "int8dynamicactivationint8weight")):
        return packed(8, -1, block_bytes=section.scale_bytes).but(id="int8")
    if plain.startswith("float8"):
        rows = "PerRow" in str(data.get("granularity"))
        if plain.startswith("float8weightonly"):
            return fp8("channel", FP32_BYTES).but(compute="", compute_needs="")
        return fp8("channel" if rows else "tensor", FP32_BYTES)
    if plain.startswith("nvfp4"):
        return number_format("nvfp4-w4a16" if plain.startswith("nvfp4weightonly") else "nvfp4")
    if plain.startswith(("mxfp", "mxdynamicactivationmxweight")):
        four = "float4" in str(data.get("weight_dtype") or data.get("elem_dtype")) or plain.startswith("mxfp4")
        return number_format("mxfp4" if four else "mxfp8")
    raise UnknownSchemeError(f"quant_type {brief(name)}")


def _torchao_intx(section: Section, data: dict[str, Any]) -> NumberFormat:
    """Weights of `weight_dtype` (or `dtype`) in groups, or per output channel, with a zero point of a byte."""
    named = re.search(r"int(\d+)", str(data.get("weight_dtype") or data.get("dtype") or "int8"))
    granularity = data.get("weight_granularity") or data.get("granularity")
    inner = granularity.get("_data") if isinstance(granularity, dict) else None
    group = section.whole("group_size", section.whole("group_size", -1, data), inner if isinstance(inner, dict) else {})
    return packed(int(named.group(1)) if named else 8, group, block_bytes=section.scale_bytes + 1)


def quark(section: Section) -> Scheme:
    """AMD Quark: exclude, layer_quant_config (names, wildcards, `re:`), layer_type_quant_config, global."""
    excluded = exact_or_regex(texts(section.entries.get("exclude")))
    globs = texts(section.entries.get("exclude"))
    whole = _quark_format(section, section.section("global_quant_config"))
    layers = {
        pattern: _quark_format(section, own)
        for pattern, own in section.section("layer_quant_config").items()
        if isinstance(own, dict)
    }
    of_types = section.section("layer_type_quant_config").items()
    kinds = {kind: _quark_format(section, own) for kind, own in of_types if isinstance(own, dict)}

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or excluded(module.names) or _any_glob(module, globs):
            return None
        named = (fmt for pattern, fmt in layers.items() if _is_named(module, pattern))
        return next(named, kinds.get(module.kind, whole))

    cache = section.section("kv_cache_quant_config") or section.section("kv_cache_quant")
    held = cache_format(8, "float") if "fp8" in str(cache or section.section("export").get("kv_cache_quant")) else None
    return Scheme(rule, held)


def _is_named(module: Module, pattern: str) -> bool:
    if pattern.startswith("re:"):
        return any(compiled(pattern[3:]).fullmatch(name) for name in module.names)
    return pattern in module.names or _any_glob(module, [pattern])


def _any_glob(module: Module, globs: list[str]) -> bool:
    return any("*" in glob and fnmatchcase(name, glob) for name in module.names for glob in globs)


def _quark_format(section: Section, config: dict[str, Any]) -> NumberFormat | None:
    weights = config.get("weight")
    weights = weights[0] if isinstance(weights, list) and weights else weights
    if not isinstance(weights, dict):
        return None
    kind, scheme = str(weights.get("dtype")), str(weights.get("qscheme"))
    group, block = section.whole("group_size", -1, weights), weights.get("block_size")
    if kind == "fp4":
        name = "mxfp4" if config.get("input_tensors") else "mxfp4-w4a16"
        return number_format(name).but(block_cols=group if group > 0 else 32)
    if kind.startswith("fp6"):
        return number_format("mxfp4").but(id="mxfp6", bits=6, block_cols=group if group > 0 else 32, compute="")
    if kind.startswith("fp8") and scheme == "per_block" and isinstance(block, list) and len(block) == 2:
        return fp8("block", FP32_BYTES, block=(section.side(block[0]), section.side(block[1])))
    if kind.startswith("fp8"):
        grouped = scheme == "per_group" and group > 0
        whole = fp8("channel" if scheme == "per_channel" else "tensor", FP32_BYTES)
        return number_format("mxfp8").but(block_cols=group) if grouped else whole
    if kind in ("int8", "uint8", "int4", "uint4"):
        bits = int(kind[-1])
        zero = not weights.get("symmetric", not kind.startswith("u"))
        return packed(bits, group, block_bytes=section.scale_bytes + bits / 8 * zero)
    raise UnknownSchemeError(f"weight dtype {brief(kind)}")
