"""How schemes match names of modules: each its own way, as its library does."""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase, translate
from functools import cache
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief

Match = Callable[[Sequence[str]], bool]
"""Whether one of a module's names is meant."""


def texts(value: Any) -> list[str]:
    """The strings of a list; none where the value is no list."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression. Raises InputError where it is none."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"quantization_config: {brief(pattern)} is not a regular expression") from error


def exact_or_regex(entries: Iterable[str]) -> Match:
    """compressed-tensors, quark: a whole name, or after `re:` a regular expression from the name's start."""
    entries = list(entries)
    whole = frozenset(entry for entry in entries if not entry.startswith("re:"))
    regexes = [compiled(entry[3:]) for entry in entries if entry.startswith("re:")]
    return lambda names: any(name in whole or any(regex.match(name) for regex in regexes) for name in names)


def start_or_end(entries: Iterable[str]) -> Match:
    """transformers' modules_to_not_convert: a start of the name up to a dot, also as a regex; or its end."""
    entries = [entry for entry in entries if entry]
    regexes = [compiled(rf"(?:{_as_regex(entry)})(?:(?<=\.)|(?=\.|$))") for entry in entries if _is_regex(entry)]
    plain = [entry for entry in entries if not _is_regex(entry)]
    whole, ends = frozenset(plain), tuple(plain)

    def match(names: Sequence[str]) -> bool:
        return any(
            name.endswith(ends) or not whole.isdisjoint(_starts(name)) or any(regex.match(name) for regex in regexes)
            for name in names
        )

    return match


def wildcards(entries: Iterable[str]) -> Match:
    """ModelOpt's exclude_modules: a whole name, a part of it, or a wildcard.

    `model.layers.1*` is how ModelOpt writes that module and all within it: not layer 10.
    """
    entries = list(entries)
    plain = [entry for entry in entries if "*" not in entry]
    trees = [entry[:-1].rstrip(".") for entry in entries if entry.endswith("*") and not set(entry[:-1]) & set("*?[")]
    whole = frozenset([*plain, *trees])
    globs = [entry for entry in entries if "*" in entry and entry[:-1].rstrip(".") not in trees]
    short = [entry for entry in plain if entry.count(".") < 3]  # a whole module's path is no part of another name

    def match(names: Sequence[str]) -> bool:
        return any(
            not whole.isdisjoint(_starts(name))
            or any(entry in name for entry in short)
            or any(fnmatchcase(name, glob) for glob in globs)
            for name in names
        )

    return match


def _is_regex(entry: str) -> bool:
    return bool(set(entry) & set("*+?()[]{}|^$\\"))


def _as_regex(entry: str) -> str:
    """The entry; a wildcard such as `*.attn.*`, which is no regular expression, as the one that it stands for."""
    return translate(entry).rstrip("zZ").removesuffix("\\") if entry.startswith("*") else entry


def _starts(name: str) -> list[str]:
    """The name and the paths of the modules that hold it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
