"""compressed-tensors (llm-compressor, Red Hat AI, Kimi): groups of targets, each with the arguments of its weights.

Rules as in compressed-tensors 0.20.1: utils/match.py (order of targets), quantization/lifecycle/initialize.py (shapes
of scales), compressors/*/base.py (what each format writes).
"""

from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import exact_or_regex, texts
from sparsecalc.read.stored.scheme import Scheme, Section, UnknownSchemeError, cache_format, fp8, packed

SHAPE_BYTES = 16
"""weight_shape: two int64, beside packed integers."""
ROW_OFFSET_BYTES = 8
"""sparse-bitmask: an int64 offset for each row, which sparse-24-bitmask does not need."""
INPUT_SCALE_BYTES = 4
"""A global scale of the input, FP32."""


def read(section: Section) -> Scheme:
    """The scheme of `config_groups`, `ignore`, `kv_cache_scheme` and `sparsity_config`."""
    groups = section.section("config_groups")
    if not groups and not section.section("sparsity_config"):
        raise UnknownSchemeError("no config_groups")
    by_target = {}
    for group in groups.values():
        group = group if isinstance(group, dict) else {}
        for target in texts(group.get("targets")) or ["Linear"]:
            by_target[target] = _format(section, group)
    targets = [(target, exact_or_regex([target]), by_target[target]) for target in sorted(by_target, key=_order)]
    ignored = exact_or_regex(texts(section.entries.get("ignore")))
    ignored_kinds = frozenset(texts(section.entries.get("ignore")))
    sparse = _sparse(section)

    def rule(module: Module) -> NumberFormat | None:
        if not module.kind or module.kind in ignored_kinds or ignored(module.names):
            return None
        named = (fmt for _, match, fmt in targets if match(module.names))
        of_class = (fmt for target, _, fmt in targets if target == module.kind)
        found = next(named, None) or next(of_class, None)
        return sparse(module, found) if sparse else found

    cache = section.section("kv_cache_scheme")
    return Scheme(rule, cache_format(cache.get("num_bits"), cache.get("type", "float")))


def _order(target: str) -> tuple[bool, str]:
    """Whole names before regular expressions, each sorted, as the library does."""
    return "re:" in target, target


def _format(section: Section, group: dict[str, Any]) -> NumberFormat | None:
    """The format of one group's weights; None where only activations are quantized."""
    weights, inputs = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, dict):
        return None
    bits, kind = section.whole("num_bits", 8, weights), weights.get("type", "int")
    size = section.whole("group_size", -1, weights)
    static = isinstance(inputs, dict) and inputs.get("dynamic") in (False, "local")
    layout = group.get("format") or section.entries.get("format") or ""
    if kind == "float":
        return _float(section, bits, size, weights, static, weight_only=not isinstance(inputs, dict))
    return _integer(section, bits, size, weights, str(layout))


def _float(
    section: Section, bits: int, size: int, weights: dict[str, Any], static: bool, weight_only: bool
) -> NumberFormat:
    """A float's format; without a format of the activations they stay in 16 bits, and weights are widened."""
    if bits == 4 and size in (16, 32):
        found = number_format(("nvfp4" if size == 16 else "mxfp4") + "-w4a16" * weight_only)
        return found.but(tensor_bytes=found.tensor_bytes + INPUT_SCALE_BYTES * (static and size == 16))
    if bits != 8:
        raise UnknownSchemeError(f"{bits}-bit floats in groups of {size}")
    found = _fp8(section, size, weights, static)
    return found.but(compute="", compute_needs="") if weight_only else found


def _fp8(section: Section, size: int, weights: dict[str, Any], static: bool) -> NumberFormat:
    """FP8 per tensor, channel, block or group of 32 (MXFP8)."""
    strategy = weights.get("strategy") or ("group" if size > 0 else "tensor")
    if strategy == "group":
        return number_format("mxfp8").but(block_cols=size)
    scale = section.scale_bytes
    if strategy == "block":
        block = weights.get("block_structure")
        sides = tuple(block) if isinstance(block, list) and len(block) == 2 else (128, 128)
        return fp8("block", scale, block=sides, more_bytes=scale * static)
    if strategy not in ("tensor", "channel"):
        raise UnknownSchemeError(f"strategy {brief(strategy)}")
    return fp8(strategy, scale, more_bytes=scale * static)


def _integer(section: Section, bits: int, size: int, weights: dict[str, Any], layout: str) -> NumberFormat:
    """Integers: packed into int32 words (pack-quantized), as int8, or 2:4 in Marlin's form."""
    scale, zero = section.scale_bytes, 0.0 if weights.get("symmetric", True) else bits / 8
    if layout == "marlin-24":
        kept = packed(bits, size, block_bytes=scale + zero)
        return kept.but(id=f"{kept.id} 2:4", bits=bits / 2 + 1)  # half the values, 2 bits of place for each
    group = size if size > 0 else -1
    if layout == "int-quantized" or (bits == 8 and layout != "pack-quantized"):
        base = packed(8, group, block_bytes=scale + zero)
        return base.but(id="int8") if group < 0 and weights.get("strategy") != "tensor" else _per_tensor(base, weights)
    columns = 4 if weights.get("actorder") == "group" else 0
    return packed(bits, group, block_bytes=scale + zero, column_bytes=columns, tensor_bytes=SHAPE_BYTES)


def _per_tensor(base: NumberFormat, weights: dict[str, Any]) -> NumberFormat:
    if weights.get("strategy") != "tensor":
        return base
    return base.but(id="int8", block_rows=0, block_cols=0)


def _sparse(section: Section) -> Any:
    """What sparsity_config changes of the targeted modules: the values that are not zero, a bitmask, and the shape."""
    config = section.section("sparsity_config")
    layout = config.get("format")
    if layout not in ("sparse-24-bitmask", "sparse-bitmask"):
        return None
    ignored = exact_or_regex(texts(config.get("ignore")))
    targets = texts(config.get("targets")) or ["Linear"]
    named = exact_or_regex(targets)
    share = config.get("global_sparsity")
    kept = 0.5 if layout == "sparse-24-bitmask" or not isinstance(share, float) else 1 - share

    def change(module: Module, found: NumberFormat | None) -> NumberFormat | None:
        if ignored(module.names) or not (module.kind in targets or named(module.names)):
            return found
        base = found or section.plain
        per_row = base.block_bytes if (base.block_rows, base.block_cols) == (1, 0) else 0
        tensor_bytes = base.tensor_bytes + SHAPE_BYTES + int(base.block_bytes - per_row)
        return base.but(
            id=f"{base.id} {'2:4' if kept == 0.5 else 'sparse'}",
            bits=base.bits * kept + 1,
            block_rows=1,
            block_cols=0,
            block_bytes=per_row + (ROW_OFFSET_BYTES if layout == "sparse-bitmask" else 0),
            tensor_bytes=tensor_bytes,
        )

    return change
