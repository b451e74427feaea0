"""`sparsecalc import`: write a spec file and say how it compares with the checkpoint."""

import json
import re
from pathlib import Path

from sparsecalc.cli._output import check_target, emit, write_atomically
from sparsecalc.core.errors import InputError
from sparsecalc.decide.import_model import import_report
from sparsecalc.estimate.costs import params
from sparsecalc.library.models import DERIVED_KEY, FACTS_KEY, LoadedModel, from_hub, is_hub_id, load_model


def import_model(source: str, format_name: str, output: str | None, from_architecture: bool = False) -> None:
    """Read `source`, write `<id>.json` (or `output`), print the report."""
    if output == "-":
        raise InputError("import writes a spec file, not to stdout", hint="Name the file: -o FILE")
    check_target(output, format_name)
    is_hub = is_hub_id(source)
    if from_architecture:
        from sparsecalc.cli._measuring import derived_loader

        loaded = derived_loader()(source)
    else:
        loaded = from_hub(source) if is_hub else load_model(source)
    name = re.sub(r"[^\w.-]+", "-", loaded.spec.id.rpartition("/")[2]).strip("-.").lower() or "model"
    target = Path(output or f"{name}.json")
    if not output and target.exists():
        raise InputError(f"{target} is there already", hint="Name the file to write: -o FILE")
    check_target(str(target), format_name)
    tensors = None
    if is_hub:
        from sparsecalc.library.hub import stored_tensors

        tensors = stored_tensors(source)
    report = import_report(loaded, tensors, str(target))
    write_atomically(target, json.dumps(_spec_file(loaded, name, source, is_hub, from_architecture), indent=1) + "\n")
    emit(report, format_name, None)


def _spec_file(loaded: LoadedModel, name: str, source: str, is_hub: bool, is_derived: bool) -> dict[str, object]:
    """The config as it stands, and beside it where it came from and what was counted."""
    facts = {"sources": [source], **loaded.facts, "id": name, "counted": {"total": params(loaded.spec).total}}
    if is_hub:
        facts["hub_id"] = source
    if is_derived:
        from sparsecalc.model.spec_json import to_data

        facts[DERIVED_KEY] = to_data(loaded.spec)
    return {FACTS_KEY: facts, **loaded.config}
