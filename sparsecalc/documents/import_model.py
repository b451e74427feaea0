"""The document of `import`."""

from sparsecalc.documents.base import Document
from sparsecalc.documents.explain import ExplainLine


class ImportReport(Document):
    """What an import read, wrote and found different."""

    model: str
    written: str
    counted_total: int
    stored_elements: int | None
    difference: int | None
    explained: list[ExplainLine]
    unexplained: int | None
