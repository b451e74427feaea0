"""What people read of each document: a file for each, named like the document's own, with `view(document)`."""

from importlib import import_module

from sparsecalc.documents.base import Document
from sparsecalc.reports.view import View


def view_of(document: Document) -> View:
    """The view of any document: that of the file which is named like the document's own."""
    _, _, name = type(document).__module__.rpartition(".")
    view: View = import_module(f"sparsecalc.reports.views.{name}").view(document)
    return view
