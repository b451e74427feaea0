"""The one registry of output formats: a file each, whose `write(document, width)` is imported when it is asked for."""

from importlib import import_module

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.documents.base import Document

FORMATS = {
    "table": "terminal",
    "markdown": "markdown",
    "json": "json_document",
    "csv": "comma_separated",
    "html": "html_page",
}


def render(document: Document, name: str, width: int | None = None) -> str:
    """The document in the format `name`, `width` columns wide where that matters (None: as wide as it needs).

    Raises InputError for an unknown format.
    """
    check_format(name)
    text: str = import_module(f"sparsecalc.reports.{FORMATS[name]}").write(document, width)
    return text


def check_format(name: str) -> None:
    """Raises InputError where there is no such format."""
    if name not in FORMATS:
        hint = f"Known: {', '.join(FORMATS)}" + did_you_mean(name, FORMATS)
        raise InputError(f"unknown format {brief(name)}", hint=hint)
