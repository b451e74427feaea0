"""The document of `models` and `gpus`."""

from typing import Any

from sparsecalc.documents.base import Document


class ListReport(Document):
    """Rows of a list of models, accelerators or families."""

    rows: list[dict[str, Any]]
