"""The output formats: one table of them, and a file for each.

A format's file has `write(document, width)`, which returns text, or bytes where the table says binary. `width` is the
terminal's number of columns, or None where there is no terminal.
"""

from importlib import import_module

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.documents.base import Document


class Format(Frozen):
    """Where a format is written."""

    file: str
    """The module of this package whose `write` makes it; imported when the format is asked for."""
    binary: bool = False
    """Whether `write` returns bytes, which no terminal can show."""


FORMATS = {
    "table": Format(file="table"),
    "markdown": Format(file="markdown"),
    "json": Format(file="json"),
    "jsonl": Format(file="jsonl"),
    "csv": Format(file="csv"),
    "html": Format(file="html"),
}


def render(document: Document, name: str, width: int | None = None) -> str | bytes:
    """The document in the format `name`, `width` columns wide where that matters (None: as wide as it needs).

    Raises InputError for an unknown format.
    """
    module = import_module(f"sparsecalc.reports.formats.{find_format(name).file}")
    content: str | bytes = module.write(document, width)
    return content


def find_format(name: str) -> Format:
    """The format of that name. Raises InputError where there is none."""
    if name not in FORMATS:
        hint = f"Known: {', '.join(FORMATS)}" + did_you_mean(name, FORMATS)
        raise InputError(f"unknown format {brief(name)}", hint=hint)
    return FORMATS[name]
