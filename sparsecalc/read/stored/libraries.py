"""bitsandbytes, torchao, quark, HQQ, BitNet, ExLlama and MLX: each as its own library writes it."""

from fnmatch import fnmatchcase
from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import compiled, exact_or_regex, start_or_end, texts
from sparsecalc.read.stored.scheme import Rule, Scheme, Section, UnknownSchemeError, cache_format, fp8, packed

FP32_BYTES = 4


def _linear(found: NumberFormat | None, skipped: Any = None) -> Rule:
    """Every linear module but the LM head and those that are skipped."""

    def rule(module: Module) -> NumberFormat | None:
        left = module.kind != "Linear" or module.is_head or (skipped is not None and skipped(module.names))
        return None if left else found

    return rule


def bitsandbytes(section: Section) -> Scheme:
    """4 bits (nf4, fp4): an FP32 scale for 64, or with double quantization a byte, and FP32 for 256 of these; int8."""
    skipped = start_or_end(texts(section.entries.get("llm_int8_skip_modules")))
    if not (section.entries.get("load_in_4bit") or section.entries.get("_load_in_4bit")):
        return Scheme(_linear(number_format("int8"), skipped))
    found = number_format("nf4").but(id=str(section.entries.get("bnb_4bit_quant_type") or "fp4"))
    if not section.entries.get("bnb_4bit_use_double_quant"):
        found = found.but(bits=4, block_bytes=FP32_BYTES)
    return Scheme(_linear(found, skipped))


def bitnet(section: Section) -> Scheme:
    """Ternary weights, four to a byte along the output, and a scale in 16 bits for each matrix."""
    found = NumberFormat(id="ternary", bits=2, tensor_bytes=2, source="quantization_config")
    return Scheme(_linear(found, start_or_end(texts(section.entries.get("modules_to_not_convert")))))


def hqq(section: Section) -> Scheme:
    """`nbits` in groups with a scale and a zero point in 16 bits each; one setting, or one for each kind of module."""
    config = section.section("quant_config") or section.section("dynamic_config")
    kinds = {name: _hqq_format(section, own) for name, own in config.items() if isinstance(own, dict) and "." in name}
    whole = None if kinds else _hqq_format(section, config)
    skipped = start_or_end(texts(section.entries.get("skip_modules")))

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or module.is_head or skipped(module.names):
            return None
        named = (fmt for kind, fmt in kinds.items() if any(name.endswith(f".{kind}") for name in module.names))
        return next(named, whole)

    return Scheme(rule)


def _hqq_format(section: Section, config: dict[str, Any]) -> NumberFormat:
    weights = config.get("weight_quant_params", config)
    weights = weights if isinstance(weights, dict) else {}
    bits, group = section.whole("nbits", 4, weights), section.whole("group_size", 64, weights)
    return packed(bits, group, block_bytes=4, word_bits=32 if bits == 3 else 0)


def exllama(section: Section) -> Scheme:
    """EXL2 and EXL3: an average of bits over all layers, scales included; `head_bits` for the LM head."""
    bits, head = section.entries.get("bits"), section.entries.get("head_bits", 6)
    if isinstance(bits, bool) or not isinstance(bits, int | float) or not 0 < bits <= 16:
        raise UnknownSchemeError(f"bits {brief(bits)}")
    whole = NumberFormat(id=f"exl-{bits:g}bpw", bits=float(bits), source="quantization_config: the average it names")
    of_head = whole.but(id=f"exl-{head:g}bpw", bits=float(head)) if isinstance(head, int | float) else whole

    def rule(module: Module) -> NumberFormat | None:
        return None if module.kind != "Linear" else of_head if module.is_head else whole

    text = f"bits differ from tensor to tensor around an average of {bits:g}, which is counted for all of them"
    return Scheme(rule, warnings=(text,))


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
    bits, group = section.whole("bits", 4, entries), section.whole("group_size", 64, entries)
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
    skipped = start_or_end(texts(section.entries.get("modules_to_not_convert")))
    by_name = _torchao_by_name(kind)
    whole = None if by_name else _torchao_format(section, kind)
    own = {name: _torchao_format(section, each) if each else None for name, each in by_name.items()}

    def rule(module: Module) -> NumberFormat | None:
        if named := next((name for name in module.names if name in own), None):
            return own[named]
        for pattern, fmt in own.items():
            if pattern.startswith("re:") and any(compiled(pattern[3:]).fullmatch(name) for name in module.names):
                return fmt
        outside = module.is_head or module.kind == "Embedding"
        if not module.kind or skipped(module.names) or (outside and not embeds):
            return None
        return own.get("_default", whole)

    return Scheme(rule)


def _torchao_by_name(kind: Any) -> dict[str, Any]:
    data = kind.get("_data") if isinstance(kind, dict) else None
    found = data.get("fqn_to_config") or data.get("module_fqn_to_config") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _torchao_format(section: Section, kind: Any) -> NumberFormat | None:
    """Int4: a scale and a zero in 16 bits for each group; int8: a scale per channel; float8: per tensor or row."""
    name = str(kind.get("_type") if isinstance(kind, dict) else kind)
    data = kind.get("_data") if isinstance(kind, dict) else section.section("quant_type_kwargs")
    data = data if isinstance(data, dict) else {}
    plain = name.lower().replace("_", "").removesuffix("config")
    if plain.startswith(("int4weightonly", "uintxweightonly", "intxweightonly", "int8dynamicactivationint4weight")):
        return packed(4, section.whole("group_size", 128, data), block_bytes=2 * section.scale_bytes)
    if plain.startswith(("int8weightonly", "int8dynamicactivationint8weight")):
        return packed(8, -1, block_bytes=section.scale_bytes).but(id="int8")
    if plain.startswith("float8"):
        rows = "PerRow" in str(data.get("granularity"))
        return fp8("channel" if rows or plain.startswith("float8weightonly") else "tensor", FP32_BYTES)
    if plain.startswith(("nvfp4", "mxfp4", "mxdynamicactivationmxweight")):
        return number_format("nvfp4" if plain.startswith("nvfp4") else "mxfp4")
    raise UnknownSchemeError(f"quant_type {brief(name)}")


def quark(section: Section) -> Scheme:
    """AMD Quark: exclude, then layer_quant_config (wildcards), then global_quant_config."""
    excluded = exact_or_regex(texts(section.entries.get("exclude")))
    globs = texts(section.entries.get("exclude"))
    whole = _quark_format(section, section.section("global_quant_config"))
    layers = {
        pattern: _quark_format(section, own)
        for pattern, own in section.section("layer_quant_config").items()
        if isinstance(own, dict)
    }

    def rule(module: Module) -> NumberFormat | None:
        if module.kind != "Linear" or excluded(module.names) or _any_glob(module, globs):
            return None
        return next((fmt for pattern, fmt in layers.items() if _any_glob(module, [pattern])), whole)

    cache = section.section("kv_cache_quant_config") or section.section("kv_cache_quant")
    held = cache_format(8, "float") if "fp8" in str(cache or section.section("export").get("kv_cache_quant")) else None
    return Scheme(rule, held)


def _any_glob(module: Module, globs: list[str]) -> bool:
    return any("*" in glob and fnmatchcase(name, glob) for name in module.names for glob in globs)


def _quark_format(section: Section, config: dict[str, Any]) -> NumberFormat | None:
    weights = config.get("weight")
    weights = weights[0] if isinstance(weights, list) and weights else weights
    if not isinstance(weights, dict):
        return None
    kind, scheme = str(weights.get("dtype")), str(weights.get("qscheme"))
    group = section.whole("group_size", -1, weights)
    if kind == "fp4":
        return number_format("mxfp4").but(block_cols=group if group > 0 else 32)
    if kind.startswith("fp8"):
        grouped = scheme == "per_group" and group > 0
        whole = fp8("channel" if scheme == "per_channel" else "tensor", FP32_BYTES)
        return number_format("mxfp8").but(block_cols=group) if grouped else whole
    if kind in ("int8", "uint8", "int4", "uint4"):
        bits = int(kind[-1])
        return packed(bits, group, block_bytes=section.scale_bytes + (bits / 8 if kind.startswith("u") else 0))
    raise UnknownSchemeError(f"weight dtype {brief(kind)}")
