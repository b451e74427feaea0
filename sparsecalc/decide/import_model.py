"""What an import says: the count by the config, and the checkpoint beside it."""

from collections.abc import Iterable

from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.decide.checkpoint import checkpoint
from sparsecalc.documents.import_model import ImportReport
from sparsecalc.estimate.costs import params
from sparsecalc.library.hub import StoredTensor
from sparsecalc.library.models import LoadedModel


def import_report(loaded: LoadedModel, tensors: Iterable[StoredTensor] | None, written: str) -> ImportReport:
    """What a checkpoint stores beside what its config says, the difference split into named kinds.

    `tensors` is None where there is no checkpoint to look at.
    """
    spec = loaded.spec
    warnings = loaded.warnings
    stored = None if tensors is None else checkpoint(list(tensors), loaded, spec.id)
    if stored and stored.unexplained:
        warnings.append(Note(code="unexplained", text=stored.doubt, model=spec.id))
    return ImportReport(
        command="import",
        inputs={"model": spec.id, "origin": loaded.origin},
        warnings=warnings,
        model=spec.id,
        written=printable(written, 1000),
        counted_total=params(spec).total,
        stored_elements=stored.params.actual if stored else None,
        difference=stored.params.actual - stored.params.predicted if stored else None,
        explained=stored.explained if stored else [],
        unexplained=stored.unexplained if stored else None,
    )
