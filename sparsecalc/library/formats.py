"""What a user's `--dtype` means."""

from sparsecalc.core.components import COMPONENTS, Component
from sparsecalc.core.errors import InputError
from sparsecalc.core.precision import Precision
from sparsecalc.core.text import brief
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import is_number_format, number_format

_SHORT_COMPONENTS: dict[str, Component] = {"experts": "routed_experts", "ffn": "dense_ffn", "head": "lm_head"}


def component_names() -> list[str]:
    """What may stand before the `=` of a format: short names and components."""
    return [*_SHORT_COMPONENTS, *COMPONENTS]


def is_format(part: str) -> bool:
    """Whether a part of a dtype is meant as one: a known format, or a known component and `=`."""
    name, equals, _ = part.strip().lower().partition("=")
    return name.strip() in component_names() if equals else is_number_format(name)


def _component(name: str) -> Component:
    wanted = _SHORT_COMPONENTS.get(name, name)
    for component in COMPONENTS:
        if component == wanted:
            return component
    raise InputError(f"unknown component {brief(name)} in the dtype", hint=f"Known: {', '.join(component_names())}")


def precision_for(spec: ModelSpec, dtype: str | None = None, kv_cache_dtype: str | None = None) -> Precision:
    """Formats for one model: `bf16`, `experts=mxfp4`, `int4,attention=bf16`; None: as its checkpoint is stored.

    Parts without a component name set all weights; `component=format` sets one component. What is left unnamed is
    as the checkpoint stores it, or bf16 where nothing says how.
    """
    parts = [piece.strip() for piece in (dtype or "").lower().split(",") if piece.strip()]
    whole = [part for part in parts if "=" not in part]
    if len(whole) > 1:
        raise InputError(f"{' and '.join(whole)} are both given for all weights", hint="Name a component: experts=int4")
    named = (part.partition("=") for part in parts if part not in whole)
    stored = spec.stored
    cache = number_format(kv_cache_dtype) if kv_cache_dtype else stored and stored.kv_cache
    return Precision(
        weights=number_format(whole[0] if whole else "bf16") if whole or not stored else stored.plain,
        kv_cache=cache or number_format("bf16"),
        activations=number_format("bf16"),
        by_component={_component(component.strip()): number_format(name) for component, _, name in named},
        as_stored=stored.name if stored and not whole else "",
        origin="requested" if dtype else stored.origin if stored else "default",
    )
