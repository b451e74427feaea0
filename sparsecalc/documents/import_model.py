"""The document of `import`."""

from sparsecalc.documents.base import Document
from sparsecalc.documents.explain import ExplainLine


class ImportReport(Document):
    """The spec file that was written, and how its count compares with the checkpoint."""

    model: str
    """Id of the model."""
    written: str
    """Path of the spec file."""
    counted_total: int
    """Parameters by the config."""
    stored_elements: int | None
    """Elements that the checkpoint stores, by its safetensors headers; None without a checkpoint, as all below."""
    difference: int | None
    """Stored elements less counted parameters."""
    explained: list[ExplainLine]
    """The parts of that difference that have a known reason, in elements."""
    unexplained: int | None
    """The rest of the difference."""
