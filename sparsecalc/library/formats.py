"""Number formats by name, and what a user's `--dtype` means."""

from functools import cache

from sparsecalc.core.components import COMPONENTS, Component
from sparsecalc.core.errors import InputError
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.precision import Precision
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data
from sparsecalc.model.spec import ModelSpec

_SHORT_COMPONENTS: dict[str, Component] = {"experts": "routed_experts", "ffn": "dense_ffn", "head": "lm_head"}


@cache
def _table() -> dict[str, NumberFormat]:
    found = read_data("formats.json")
    table: dict[str, NumberFormat] = {}
    for entry in found["formats"]:
        fields = {**entry, "keeps": tuple(entry.get("keeps", ())), "source": found["sources"][entry["source"]]}
        aliases = fields.pop("aliases")
        table[entry["id"]] = NumberFormat(**fields)
        table.update(dict.fromkeys(aliases, table[entry["id"]]))
    return table


def format_ids() -> list[str]:
    """The ids of all number formats."""
    return list(dict.fromkeys(fmt.id for fmt in _table().values()))


def number_format(name: str) -> NumberFormat:
    """A format by id or alias. Raises InputError with the closest name."""
    found = _table().get(name.strip().lower())
    if found is None:
        hint = f"Known: {', '.join(format_ids())}" + did_you_mean(name, _table())
        raise InputError(f"unknown dtype {brief(name)}", hint=hint)
    return found


def component_names() -> list[str]:
    """What may stand before the `=` of a format: short names and components."""
    return [*_SHORT_COMPONENTS, *COMPONENTS]


def is_format(part: str) -> bool:
    """Whether a part of a dtype is meant as one: a known format, or a known component and `=`."""
    name, equals, _ = part.strip().lower().partition("=")
    return name.strip() in component_names() if equals else name in _table()


def _component(name: str) -> Component:
    wanted = _SHORT_COMPONENTS.get(name, name)
    for component in COMPONENTS:
        if component == wanted:
            return component
    raise InputError(f"unknown component {brief(name)} in the dtype", hint=f"Known: {', '.join(component_names())}")


def precision_for(spec: ModelSpec, dtype: str | None = None, kv_cache_dtype: str | None = None) -> Precision:
    """Formats for one model: `bf16`, `experts=mxfp4`, `int4,attention=bf16`; None: the config's own, else bf16.

    Parts without a component name set all weights; `component=format` sets one component. What is left unnamed is
    the config's own format, or bf16.
    """
    own = spec.quantization or {}
    parts = [piece.strip() for piece in (dtype or "").lower().split(",") if piece.strip()]
    whole = [part for part in parts if "=" not in part]
    if len(whole) > 1:
        raise InputError(f"{' and '.join(whole)} are both given for all weights", hint="Name a component: experts=int4")
    chosen = {"weights": whole[0]} if whole else dict(own)
    for component, _, name in (part.partition("=") for part in parts if part not in whole):
        chosen[_component(component.strip())] = name
    default = number_format(chosen.pop("weights", "bf16"))
    origin = "requested" if dtype else "the config's quantization_config" if own else "default"
    return Precision(
        weights=default,
        kv_cache=number_format(kv_cache_dtype or "bf16"),
        activations=number_format("bf16"),
        by_component={_component(part): number_format(name) for part, name in chosen.items()},
        origin=origin,
    )
