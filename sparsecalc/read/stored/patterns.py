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
    within, ends = _within(plain), tuple(plain)

    def match(names: Sequence[str]) -> bool:
        return any(name.endswith(ends) or within(name) or any(regex.match(name) for regex in regexes) for name in names)

    return match


def wildcards(entries: Iterable[str]) -> Match:
    """ModelOpt's exclude_modules: a whole name, a part of it, or a wildcard.

    `model.layers.1*` is how ModelOpt writes that module and all within it: not layer 10.
    """
    entries = list(entries)
    plain = [entry for entry in entries if "*" not in entry]
    cut = [entry[:-1] for entry in entries if entry[1:].endswith("*")]
    trees = [path.rstrip(".") for path in cut if not set(path) & set("*?[")]
    within = _within([*plain, *trees])
    globs = [entry for entry in entries if "*" in entry and entry[:-1].rstrip(".") not in trees]
    short = [entry for entry in plain if entry.count(".") < 3]  # a whole module's path is no part of another name

    def match(names: Sequence[str]) -> bool:
        return any(
            within(name) or any(entry in name for entry in short) or any(fnmatchcase(name, glob) for glob in globs)
            for name in names
        )

    return match


def _is_regex(entry: str) -> bool:
    return bool(set(entry) & set("*+?()[]{}|^$\\"))


def _as_regex(entry: str) -> str:
    """The entry; a wildcard such as `*.attn.*`, which is no regular expression, as the one that it stands for."""
    return translate(entry).rstrip("zZ").removesuffix("\\") if entry.startswith("*") else entry


def _within(paths: Iterable[str]) -> Callable[[str], bool]:
    """Whether a name is one of the paths, or that of a module within one of them."""
    whole = frozenset(paths)
    lengths = sorted({len(path) for path in whole})
    return lambda name: any(name[:length] in whole and name[length : length + 1] in ("", ".") for length in lengths)
