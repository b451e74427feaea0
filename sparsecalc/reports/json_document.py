"""JSON: the whole document in SI units and full precision, with the field names of the contract; all in ASCII."""

import json

from sparsecalc.documents.base import Document


def write(document: Document, width: int | None = None) -> str:
    """One object; a figure that is not a finite number is an error."""
    return json.dumps(document.to_dict(), indent=2, allow_nan=False) + "\n"
