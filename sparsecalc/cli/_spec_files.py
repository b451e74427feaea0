"""The work of `sparsecalc import`: write a spec file, and say how its count compares with the checkpoint."""

import json
import re
from pathlib import Path

from sparsecalc.cli._output import check_target, emit, write_atomically
from sparsecalc.core.errors import InputError
from sparsecalc.decide.import_model import import_report
from sparsecalc.estimate.costs import params
from sparsecalc.library.checkpoints import FACTS_KEY
from sparsecalc.library.models import DERIVED_KEY, LoadedModel, from_hub, is_hub_id, load_model


def import_model(source: str, format_name: str, output: str | None, from_architecture: bool = False) -> None:
    """Read `source`, write `<id>.json` (or `output`), print the report.

    Raises InputError where the model cannot be read, or the file is there already or cannot be written.
    """
    if output == "-":
        raise InputError("import writes a spec file, not to stdout", hint="Name the file: -o FILE")
    check_target(output, format_name)
    loaded = _loaded(source, from_architecture)
    name = re.sub(r"[^\w.-]+", "-", loaded.spec.id.rpartition("/")[2]).strip("-.").lower() or "model"
    target = Path(output or f"{name}.json")
    if not output and target.exists():
        raise InputError(f"{target} is there already", hint="Name the file to write: -o FILE")
    check_target(str(target), format_name)
    tensors = None
    if is_hub_id(source):
        from sparsecalc.library.hub import stored_tensors

        tensors = stored_tensors(source)
    report = import_report(loaded, tensors, str(target))
    write_atomically(target, json.dumps(_spec_file(loaded, name, source, from_architecture), indent=1) + "\n")
    emit(report, format_name, None)


def _loaded(source: str, from_architecture: bool) -> LoadedModel:
    if from_architecture:
        from sparsecalc.cli._measuring import derived_loader

        return derived_loader()(source)
    return from_hub(source) if is_hub_id(source) else load_model(source)


def _spec_file(loaded: LoadedModel, name: str, source: str, is_derived: bool) -> dict[str, object]:
    """The config as it stands, and beside it where it comes from and what was counted."""
    facts = {"sources": [source], **loaded.facts, "id": name, "counted": {"total": params(loaded.spec).total}}
    if is_hub_id(source):
        facts["hub_id"] = source
    if is_derived:
        from sparsecalc.model.spec_json import to_data

        facts[DERIVED_KEY] = to_data(loaded.spec.without_formats())
    return {FACTS_KEY: facts, **loaded.config}
