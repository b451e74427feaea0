"""What a user's `--dtype` means."""

from typing import Any

from sparsecalc.core.components import COMPONENTS, Component
from sparsecalc.core.errors import InputError
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.precision import Precision
from sparsecalc.core.text import brief
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import format_ids, is_number_format, number_format
from sparsecalc.read.stored.file_types import file_type_names

OTHER_MIXES = ("ud-", "ud_")
"""How Unsloth's own mixes begin: they choose tensor by tensor what the files alone tell."""

_SHORT_COMPONENTS: dict[str, Component] = {"experts": "routed_experts", "ffn": "dense_ffn", "head": "lm_head"}


def component_names() -> list[str]:
    """What may stand before the `=` of a format: short names and components."""
    return [*_SHORT_COMPONENTS, *COMPONENTS]


def is_format(part: str) -> bool:
    """Whether a part of a dtype is meant as one: a known format or file type, or a known component and `=`."""
    name, equals, _ = part.strip().lower().partition("=")
    if equals:
        return name.strip() in component_names()
    return is_number_format(name) or _file_type_word(name) in file_type_names() or name.startswith(OTHER_MIXES)


def format_names() -> list[str]:
    """All number formats and file types, for hints."""
    return list(dict.fromkeys((*format_ids(), *file_type_names())))


def with_file_type(
    spec: ModelSpec, dtype: str | None, config: dict[str, Any] | None = None
) -> tuple[ModelSpec, str | None]:
    """The model in the GGUF file type that `dtype` names for all weights, and what is left of `dtype`.

    `q4_k_m,experts=mxfp4` is the mix Q4_K_M with other experts; without a file type nothing changes. The
    model's `config` tells of layers for multi-token prediction, which some families' files hold. Raises InputError for
    a mix whose rules are not llama.cpp's own.
    """
    parts = [piece.strip() for piece in (dtype or "").lower().split(",") if piece.strip()]
    whole = [part for part in parts if "=" not in part]
    if len(whole) != 1:
        return spec, dtype
    word = _file_type_word(whole[0])
    if whole[0].startswith(OTHER_MIXES):
        raise InputError(
            f"{brief(whole[0])} is a mix of its makers, whose rules llama.cpp does not have",
            hint="Name the .gguf file itself, or a file type of llama.cpp: q4_k_m",
        )
    if word not in file_type_names():
        return spec, dtype
    from sparsecalc.read.config import ALIASES
    from sparsecalc.read.stored.gguf import as_file_type

    rest, name = ",".join(part for part in parts if part not in whole) or None, file_type_names()[word]
    if spec.stored and (spec.stored.scheme, spec.stored.name, spec.stored.origin) == ("gguf", name, "requested"):
        return spec, rest
    mtp = (config or {}).get("num_nextn_predict_layers")
    family = ALIASES.get(spec.model_type, spec.model_type)
    return as_file_type(spec, name, family, mtp if isinstance(mtp, int) else 0), rest


def _file_type_word(word: str) -> str:
    """A file type as it is typed: `Q4_K_M`, `q4-k-m`, `mxfp4 moe`."""
    return word.replace("-", "_").replace(" ", "_")


def _component(name: str) -> Component:
    wanted = _SHORT_COMPONENTS.get(name, name)
    for component in COMPONENTS:
        if component == wanted:
            return component
    raise InputError(f"unknown component {brief(name)} in the dtype", hint=f"Known: {', '.join(component_names())}")


def _cache_format(name: str) -> NumberFormat:
    """The format of a KV cache; `q8_0/fp16`, keys and values apart: that of as many bits in the mean."""
    keys, slash, values = name.partition("/")
    first = number_format(keys)
    if not slash:
        return first
    second = number_format(values)
    return NumberFormat(
        id=f"{first.id}/{second.id}", bits=(first.bits_per_weight + second.bits_per_weight) / 2, source=first.source
    )


def precision_for(spec: ModelSpec, dtype: str | None = None, kv_cache_dtype: str | None = None) -> Precision:
    """Formats for one model: `bf16`, `experts=mxfp4`, `int4,attention=bf16`; None: as its checkpoint is stored.

    Parts without a component name set all weights; `component=format` sets one component. What is left unnamed is
    as the checkpoint stores it, or bf16 where nothing says how.
    """
    parts = [piece.strip() for piece in (dtype or "").lower().split(",") if piece.strip()]
    whole = [part for part in parts if "=" not in part]
    if len(whole) > 1:
        raise InputError(f"{' and '.join(whole)} are both given for all weights", hint="Name a component: experts=int4")
    if whole and not is_number_format(whole[0]) and is_format(whole[0]):
        raise InputError(f"{whole[0]} is a GGUF file type, which has no place here", hint="Name a number format: int4")
    named = (part.partition("=") for part in parts if part not in whole)
    stored = spec.stored
    cache = _cache_format(kv_cache_dtype) if kv_cache_dtype else stored and stored.kv_cache
    return Precision(
        weights=number_format(whole[0] if whole else "bf16") if whole or not stored else stored.plain,
        kv_cache=cache or number_format("bf16"),
        activations=number_format("bf16"),
        by_component={_component(component.strip()): number_format(name) for component, _, name in named},
        as_stored=stored.name if stored and not whole else "",
        states_in_fp32=bool(stored and stored.scheme == "gguf" and not whole),
        origin="requested" if dtype else stored.origin if stored else "default",
    )
