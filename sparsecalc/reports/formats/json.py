"""JSON: the whole document in SI units and full precision, in ASCII."""

import json

from sparsecalc.documents.base import Document


def write(document: Document, width: int | None = None) -> str:
    """One object. Raises ValueError for a figure that is not a finite number."""
    return json.dumps(document.to_dict(), indent=2, allow_nan=False) + "\n"
