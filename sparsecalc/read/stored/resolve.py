"""From a config's own words on storage to the formats of every op, layer by layer."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from sparsecalc.core.components import Component
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Op, OpFormats, StoredAs
from sparsecalc.core.text import brief, printable
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import Layer, ModelSpec, Stored, group_layers
from sparsecalc.read.fields import Fields
from sparsecalc.read.number_formats import is_number_format, number_format
from sparsecalc.read.stored.modules import EXPERT, Module, ModuleNames, layers_in_order, ops_outside
from sparsecalc.read.stored.scheme import Scheme, Section, UnknownSchemeError

SECTIONS = ("quantization_config", "compression_config", "quantization")
"""Where configs say how weights are stored; the last is MLX's."""

SMALLEST_PLAIN_BITS = 16

_METHODS: dict[str, str] = {
    "compressed-tensors": "compressed_tensors.read",
    "compressed_tensors": "compressed_tensors.read",
    **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mixed"), "modelopt.read"),
    **dict.fromkeys(("gptq", "gptq_marlin", "gptqmodel"), "integers.gptq"),
    **dict.fromkeys(("awq", "awq_marlin"), "integers.awq"),
    **dict.fromkeys(("auto-round", "intel/auto-round", "auto_round"), "integers.autoround"),
    "fp8": "floats.fine_grained_fp8",
    "fbgemm_fp8": "floats.fbgemm_fp8",
    "mxfp4": "floats.mxfp4",
    "mxfp8": "floats.mxfp8",
    "nvfp4": "floats.nvfp4",
    "bitsandbytes": "libraries.bitsandbytes",
    "bitnet": "libraries.bitnet",
    "hqq": "libraries.hqq",
    **dict.fromkeys(("exl2", "exl3"), "libraries.exllama"),
    "mlx": "libraries.mlx",
    "torchao": "libraries.torchao",
    "quark": "libraries.quark",
}
"""The reader of each quant_method, imported where a config names it."""


def scheme_reader(method: str) -> Callable[[Section], Scheme] | None:
    """The function that reads a quant_method's section; None for one that is not known."""
    module, _, function = _METHODS.get(method, "").partition(".")
    found: Callable[[Section], Scheme] | None = None
    if module:
        found = getattr(import_module(f"sparsecalc.read.stored.{module}"), function)
    return found


def as_stored(spec: ModelSpec, config: Fields, family: str) -> ModelSpec:
    """The same model with the formats in which its checkpoint stores each op of each layer, as the config says.

    Layers that are stored differently become groups of their own. A scheme that is not understood is a warning, and
    its weights count as unquantized.
    """
    plain = _plain(config)
    if (file := _as_gguf(spec, config, family)) is not None:
        return file
    quantization = next((config.config[key] for key in SECTIONS if config.config.get(key)), None)
    scheme, method = _scheme(quantization, plain or number_format("bf16"), config)
    if scheme is None:
        return spec.but(stored=Stored(scheme="", name=plain.id, plain=plain)) if plain else spec
    for text in scheme.warnings:
        config.note("quantization", f"{method}: {text}")
    plain = plain or number_format("bf16")
    form = str((quantization or {}).get("format") or method)
    resolver = _Resolver(ModuleNames(family, form), scheme, plain, _names_single_experts(quantization))
    layers = layers_in_order(spec)
    formats = [resolver.of_layer(layer, index) for index, layer in enumerate(layers)]
    stored = Stored(scheme=method, name=_name(layers, formats, plain), plain=plain, kv_cache=scheme.kv_cache)
    groups, outside = group_layers(layers, formats), resolver.outside(ops_outside(spec))
    if not (any(formats) or outside or scheme.kv_cache):
        text = f"{method}: quantization_config quantizes none of the modules known here: weights count as {plain.id}"
        config.note("quantization", text)
    return spec.but(stored=stored, layer_groups=groups, formats=outside)


def _as_gguf(spec: ModelSpec, config: Fields, family: str) -> ModelSpec | None:
    """The model as a GGUF file's tensors are stored; None where the config is of no such file."""
    section = config.config.get("quantization_config")
    if not isinstance(section, dict):
        return None
    from sparsecalc.read.stored import gguf

    if kind := gguf.type_of_all(section):
        return gguf.as_one_type(spec, family, kind)
    found = gguf.tensors_of(section)
    if found is None:
        return None
    stored = gguf.as_file(spec, family, *found)
    for note in stored.notes:
        config.note(note.code, note.text)
    return stored


def _plain(config: Fields) -> NumberFormat | None:
    """The dtype of what is not quantized; None where the config does not say it."""
    given = config.config.get("dtype") or config.config.get("torch_dtype")
    name = str(given).removeprefix("torch.") if isinstance(given, str) else ""
    if not name:
        return None
    found = number_format(name) if is_number_format(name) else None
    if found is None or found.bits < SMALLEST_PLAIN_BITS:
        config.note("dtype", f"dtype {brief(name)} is none of unquantized weights, which count as bf16")
        return None
    return found


def _scheme(quantization: Any, plain: NumberFormat, config: Fields) -> tuple[Scheme | None, str]:
    """The scheme and its name; None with a warning that says how much it may matter where it is not understood."""
    if not quantization:
        return None, ""
    if not isinstance(quantization, dict):
        config.note("quantization", "quantization_config is not an object: weights count as unquantized")
        return None, ""
    section = Section({**quantization, **_beside(config, quantization)}, plain)
    method = _method(quantization)
    try:
        read = scheme_reader(method)
        if read is None:
            raise UnknownSchemeError(f"quant_method {brief(method)}" if method else "no quant_method")
        return read(section), method
    except UnknownSchemeError as error:
        bits = _named_bits(quantization)
        factor = f"; with {bits} bits they would be {plain.bits / bits:.1f} times smaller" if bits else ""
        text = f"quantization_config is not understood ({printable(str(error), 80)}): weights count as {plain.id}"
        config.note("quantization", text + (factor or "; they may be up to 8 times smaller"))
        return None, ""


def _beside(config: Fields, quantization: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the section and belongs to it: DeepSeek-V4's expert_dtype."""
    return {"expert_dtype": value} if (value := config.raw("expert_dtype", default=None)) is not None else {}


def _method(quantization: dict[str, Any]) -> str:
    """The scheme's name; where it is not told, the keys tell it."""
    method = str(quantization.get("quant_method") or "").lower()
    if method:
        return method
    if "quant_algo" in quantization:
        return "modelopt"
    if "config_groups" in quantization:
        return "compressed-tensors"
    return "mlx" if "bits" in quantization and "group_size" in quantization else ""


def _named_bits(quantization: dict[str, Any]) -> int | None:
    """Bits that an unknown scheme names somewhere: `bits`, `w_bit`, `4bit`."""
    found = re.search(r"(?:bits?['\"]?: ?|int|fp|w)(\d{1,2})\b", str(quantization)[:5000])
    return int(found.group(1)) if found and 0 < int(found.group(1)) < 16 else None


def _names_single_experts(quantization: Any) -> bool:
    """Whether a rule may tell one expert of a layer from another, so that each must be asked."""
    text = str(quantization)
    loose = re.findall(r"'(?:re:|[+-]:|\.\*)[^']*'", text)
    return bool(re.search(r"experts[^a-z',]*\d", text)) or any(
        re.search(r"\d", pattern) and "layers" not in pattern for pattern in loose
    )


@dataclass(frozen=True, slots=True)
class _Resolver:
    """A scheme's rule on a family's modules; `each` expert is asked, or the first one for all."""

    names: ModuleNames
    scheme: Scheme
    plain: NumberFormat
    each: bool

    def of_layer(self, layer: Layer, index: int) -> OpFormats:
        """The quantized ops of a layer with the formats of their matrices."""
        return self._formats(_ops(layer), lambda op: self.names.of_layer(op, index))

    def outside(self, ops: Sequence[Op]) -> OpFormats:
        """The same of what lies outside the layers."""
        return self._formats(ops, self.names.outside)

    def _formats(self, ops: Iterable[Op], modules: Callable[[Op], Iterable[Module]]) -> OpFormats:
        found: list[tuple[tuple[str, str], StoredAs]] = []
        for op in ops:
            shares: Counter[NumberFormat | None] = Counter()
            for module in modules(op):
                shares += self._shares(module, op.num_experts if self.each else 1)
            if any(shares):
                found.append(((op.component, op.name), tuple((fmt or self.plain, n) for fmt, n in shares.items())))
        return tuple(found)

    def _shares(self, module: Module, asked: int) -> Counter[NumberFormat | None]:
        """How many of a module's matrices have which format."""
        if starts := self.scheme.starts:
            module = module._replace(names=tuple(name for name in module.names if name.startswith(starts)))
        if not module.is_expert:
            return Counter({self._format(module): module.matrices})
        counts: Counter[NumberFormat | None] = Counter()
        for expert in range(asked):
            named = tuple(name.replace(EXPERT, str(expert)) for name in module.names)
            counts[self._format(module._replace(names=named))] += module.matrices // asked
        return counts

    def _format(self, module: Module) -> NumberFormat | None:
        """What the family's checkpoint is known to do, else the scheme's rule; None: unquantized."""
        if not module.stored_as:
            return self.scheme.rule(module)
        return None if module.stored_as == "plain" else number_format(module.stored_as)


@lru_cache(maxsize=64)
def _ops(layer: Layer) -> tuple[Op, ...]:
    """The ops of a layer, which are the same wherever it stands."""
    return tuple(layer.ops(Workload()))


def _name(layers: Sequence[Layer], formats: Sequence[OpFormats], plain: NumberFormat) -> str:
    """The formats in short: the one of most elements, then the components of the layers that have others."""
    elements: dict[Component, Counter[str]] = {}
    for layer, known in zip(layers, formats, strict=True):
        table = dict(known)
        for op in _ops(layer):
            if not op.matrices or op.kind == "conv" or op.component in ("router", "norm", "other"):
                continue
            for fmt, count in table.get((op.component, op.name), ((None, op.matrices),)):
                held = elements.setdefault(op.component, Counter())
                held[fmt.id if fmt else plain.id] += op.rows * op.cols * count
    total: Counter[str] = Counter()
    for held in elements.values():
        total += held
    main = total.most_common(1)[0][0] if total else plain.id
    others = {part: held.most_common(1)[0][0] for part, held in elements.items()}
    return ",".join([main, *(f"{part}={name}" for part, name in sorted(others.items()) if name != main)])
