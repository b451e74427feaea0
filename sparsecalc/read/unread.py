"""Architectures without a reader: refused by name with a reason, or told what else there is."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NoReturn

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import mistyped
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data


@cache
def refusals() -> dict[str, dict[str, str]]:
    """Reason, what to do and source by model_type or class name, from data/refused_architectures.json."""
    found: dict[str, dict[str, str]] = read_data("refused_architectures.json")
    return found


def refuse_by_name(names: Iterable[Any], where: str) -> None:
    """Raise InputError where one of these model_types or classes is known and not counted."""
    for name in names:
        if isinstance(name, str) and (known := refusals().get(name)):
            raise InputError(f"{name}: {known['reason']}", where=where, hint=known["what_to_do"])


def refuse_unknown(model_type: str, known: Iterable[str], where: str) -> NoReturn:
    """Raise InputError for a model_type that nothing here reads, with the way through transformers where it has one."""
    hint = "Known families: sparsecalc models --families" + mistyped(model_type, known)
    hint += "" if hint.endswith("?") else "."
    table = read_data("transformers_types.json")
    if model_type in table["model_types"]:
        hint += " transformers has it: verify or import --from-architecture counts its own class"
    else:
        hint += f" transformers {table['version']} lacks it too; where it is another's structure, name that one's type"
    raise InputError(f"unknown model_type {brief(model_type)}", where=where, hint=hint)
