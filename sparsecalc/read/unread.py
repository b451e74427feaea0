"""Architectures without a reader: refused by name with a reason, or told what else there is."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NoReturn

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import mistyped
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data


@cache
def refused_architectures() -> dict[str, dict[str, str]]:
    """model_types and classes that are known and not counted: {name: {reason, what_to_do, source}}."""
    found: dict[str, dict[str, str]] = read_data("refused_architectures.json")
    return found


@cache
def transformers_types() -> dict[str, Any]:
    """What transformers' registries say: `text_generation`, a list, and `text_parts`, {multimodal type: text type}."""
    found: dict[str, Any] = read_data("transformers_model_types.json")
    return found


def refuse_by_name(what: str, names: Iterable[Any], where: str) -> None:
    """Raise InputError where one of these names, which say `what` it is, is known and not counted."""
    for name in names:
        if isinstance(name, str) and (known := refused_architectures().get(name)):
            text = f"{what} {brief(name)} is not counted: {known['reason']}"
            raise InputError(text, where=where, hint=known["what_to_do"])


def refuse_unknown(model_type: str, known: Iterable[str], text_parts: Iterable[str], where: str) -> NoReturn:
    """Raise InputError for a model_type that nothing here reads, with the way through transformers where it has one."""
    refuse_by_name("model_type", (model_type,), where)
    if model_type in transformers_types()["text_parts"]:
        hint = f"Its language model stands in one of {', '.join(text_parts)}"
        raise InputError(f"model_type {brief(model_type)}: the config has no text part", where=where, hint=hint)
    hint = "Known families: sparsecalc models --families" + mistyped(model_type, known)
    if model_type in transformers_types()["text_generation"]:
        hint += f"{'' if hint.endswith('?') else '.'} transformers has it: verify or import --from-architecture"
    elif not hint.endswith("?"):
        hint += ". transformers lacks it too; where it is another's structure, name that one's type"
    raise InputError(f"unknown model_type {brief(model_type)}", where=where, hint=hint)
