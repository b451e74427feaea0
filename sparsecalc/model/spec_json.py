"""A `ModelSpec` as plain data, and back: strict, by the types of the fields and the `kind` of the parts.

Not by pydantic, as other files are: it builds no schema for `ModelSpec.techniques`, a protocol, and it fills
dataclasses past `Frozen.check`, so that fields which contradict each other would pass.
"""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief
from sparsecalc.model import kinds
from sparsecalc.model.spec import ModelSpec

LARGEST = 2**62


def to_data(value: Any) -> Any:
    """Dictionaries, lists and plain values; fields that have their default value are left out, `kind` is not."""
    if isinstance(value, Frozen):
        given = {name: inner for name, inner in vars(value).items() if name == "kind" or not _is_default(value, name)}
        return {name: to_data(inner) for name, inner in given.items()}
    if isinstance(value, list | tuple):
        return [to_data(inner) for inner in value]
    return value


def _is_default(value: Frozen, name: str) -> bool:
    default = getattr(type(value), name, value)
    return bool(type(default) is type(vars(value)[name]) and default == vars(value)[name])


def spec_from_data(data: Any) -> ModelSpec:
    """The spec that `to_data` wrote. Raises InputError, naming the field, where the data is anything else."""
    found: ModelSpec = _read(ModelSpec, data, "derived")
    return found


def _read(kind: Any, data: Any, path: str) -> Any:
    """`data` as a value of the type `kind`."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), data, path)
    if origin is Literal:
        return data if _is_choice(data, get_args(kind)) else _refuse(path, data)
    if origin is tuple:
        inner = get_args(kind)[0]
        return tuple(_read(inner, each, f"{path}[{place}]") for place, each in enumerate(_list(data, path)))
    if origin is dict:
        return {name: _read(get_args(kind)[1], each, f"{path}.{name}") for name, each in _object(data, path).items()}
    if isinstance(kind, type) and issubclass(kind, Frozen):
        return _part(kind, data, path)
    exact = type(data) is kind and (kind is not int or 0 <= data < LARGEST)
    return data if exact else _refuse(path, data)


def _is_choice(data: Any, choices: tuple[Any, ...]) -> bool:
    return any(type(data) is type(choice) and data == choice for choice in choices)


def _one_of(members: tuple[Any, ...], data: Any, path: str) -> Any:
    """One member of a union: None, the part whose `kind` the data names, or the only class or plain type."""
    if data is None and type(None) in members:
        return None
    parts = [kind for kind in members if isinstance(kind, type) and issubclass(kind, Frozen)]
    if len(parts) > 1:
        named = _object(data, path).get("kind")
        chosen = next((kind for kind in parts if vars(kind).get("kind") == named), None)
        return _part(chosen, data, path) if chosen else _refuse(f"{path}.kind", named)
    rest = [kind for kind in members if kind is not type(None)]
    return _read(rest[0], data, path)


def _part(kind: type[Frozen], data: Any, path: str) -> Frozen:
    types = get_type_hints(kind, localns=vars(kinds))
    given = _object(data, path)
    if unknown := sorted(set(given) - set(types)):
        raise InputError(f"{path} has no field {brief(unknown[0])}")
    try:
        return kind(**{name: _read(types[name], each, f"{path}.{name}") for name, each in given.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def _list(data: Any, path: str) -> list[Any]:
    return data if isinstance(data, list) else _refuse(path, data)


def _object(data: Any, path: str) -> dict[str, Any]:
    return data if isinstance(data, dict) else _refuse(path, data)


def _refuse(path: str, data: Any) -> Any:
    raise InputError(f"{path} is {brief(data)}, which it cannot be")
