"""Find an accelerator: a built-in id or alias, or the user's own JSON file."""

import re
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from sparsecalc.core.errors import InputError
from sparsecalc.core.faults import first_fault
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import printable
from sparsecalc.core.user_files import json_object, read_user_file
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.calibration import LOCAL, Calibration, has_own_calibration, load_calibration
from sparsecalc.device.described import described, is_description
from sparsecalc.device.names import more_words, named, same_model, spelled
from sparsecalc.device.sheets import accelerator_ids as accelerator_ids
from sparsecalc.device.sheets import built_in

LARGEST_FILE_BYTES = 2**20
LONGEST_NAME = 200
SHOWN = 6
"""Candidates that a message lists."""
_FILE_HINT = "Start from a copy of one of the package's files in data/accelerators"


@cache
def accelerator_aliases() -> dict[str, str]:
    """Short names and the id that each stands for. Reads every file, so only a name that is no id comes here."""
    return {alias: name for name in accelerator_ids() for alias in read_data(f"accelerators/{name}.json")["aliases"]}


def load_accelerator(name: str, calibration: str | None = None) -> Accelerator:
    """The accelerator of an id, alias or name as people spell it (device/names.py), or of the user's own `.json` file.

    A line such as `8gb:448gb/s:20tflops` describes one (device/described.py). `local` is the device that the user has
    calibrated, else the one that the system names (device/local); with `calibration`, a file, the device of that file.
    A data sheet that the calibration belongs to takes its constants too. A calibration's file may also be the name.
    Raises InputError in one line: a name that is unknown or of several, a file that is absent or malformed.
    """
    wanted = re.sub(r"[\s_]+", "-", name.strip().lower())
    if wanted == LOCAL or wanted.startswith(f"{LOCAL}-"):
        if not calibration and not has_own_calibration(wanted):
            from sparsecalc.device.local.accelerator import detected

            return detected(wanted)
        return _calibrated(load_calibration(calibration or wanted), calibration or wanted)
    found = _from_sheet(name, wanted)
    if not calibration:
        return found
    own = load_calibration(calibration)
    return found.model_copy(update={"calibration": calibration}) if _is_of(own, found) else found


def _is_of(calibration: Calibration, found: Accelerator) -> bool:
    """Whether a calibration has the device's constants: an anchor has none, it changes a built-in prediction."""
    return calibration.accelerator == found.id and not calibration.anchor


def _from_sheet(name: str, wanted: str) -> Accelerator:
    if is_description(name):
        return described(name)
    if wanted.endswith(".json"):
        return _from_file(Path(name.strip()))
    if wanted in accelerator_ids():
        return built_in(wanted)
    found = built_in(_resolved(name, wanted))
    asked = (spelled(name).memory_gb or 0) * 2**30
    return found.with_memory(asked) if asked and (found.kind == "cpu" or asked in found.memory_options_bytes) else found


def _resolved(name: str, wanted: str) -> str:
    """The id of the one accelerator that a name means. Raises InputError with the candidates, or the closest name."""
    if re.search(r"(^|\S)[/\\]", name):  # a path, and not of a JSON file
        return _unknown(name, wanted)
    short = name[:LONGEST_NAME]
    found = named(short)
    if len(found) == 1:
        return found[0]
    quoted, near = f"'{printable(short.strip(), 60)}'", same_model(short)
    if found := found or ([] if near else [sheet.id for sheet in more_words(short)]):
        raise InputError(f"{quoted} may be {_some(found)}", hint="Name one: sparsecalc gpus lists them")
    if near:
        held = [f"{sheet.id} ({sheet.memory_bytes / 2**30:.0f} GiB)" for sheet in near]
        text = f"no {quoted} is built in, but {_some(held)}"
        raise InputError(text, hint="Name one of them, or your own copy of its JSON file in data/accelerators")
    return _unknown(name, wanted)


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" or {more} more" if more > 0 else "")


def _calibrated(found: Calibration, name: str) -> Accelerator:
    """The device of a calibration: its data sheet where it is known; memory as the system told, and no price.

    An anchor's is that of its data sheet as it is.
    """
    if found.anchor:
        return _from_sheet(found.anchor["accelerator"], found.anchor["accelerator"])
    memory = found.environment.get("memory_bytes")
    if not found.constants or not isinstance(memory, int):
        text = f"the calibration of {printable(found.device_name, 60)} has no constants or no memory_bytes"
        raise InputError(text, hint="Make it anew: sparsecalc calibrate")
    changes = {"memory_usable_bytes": memory, "usd_per_hour": None, "calibration": name}
    if found.accelerator:
        return load_accelerator(found.accelerator).model_copy(update=changes)
    sheet = {
        "id": LOCAL,
        "name": found.device_name,
        "vendor": "",
        "kind": "cpu" if found.device == "cpu" else "gpu",
        "memory_bytes": memory,
        "memory_bytes_per_second": found.constants["memory_bytes_per_second"],
        "peak_flops_per_second": found.constants["peak_flops_per_second"],
        "sources": (f"sparsecalc calibrate, {found.created}",),
        "confidence": "measured",
    }
    try:
        return Accelerator.model_validate(sheet | changes)
    except ValidationError as error:
        raise InputError(
            first_fault(error), where=printable(name), hint="Make it anew: sparsecalc calibrate"
        ) from error


def _unknown(name: str, wanted: str) -> str:
    if not wanted:
        raise InputError("the accelerator's name is empty", hint="List them: sparsecalc gpus")
    hint = did_you_mean(wanted[:100], [*accelerator_ids(), *accelerator_aliases()]).removeprefix(". ")
    text = f"unknown accelerator '{printable(name.strip(), 60)}'"
    raise InputError(text, hint=f"{hint} List them: sparsecalc gpus".strip())


def _from_file(path: Path) -> Accelerator:
    where = printable(str(path))
    hint = "Name an accelerator's JSON file, or an id: sparsecalc gpus"
    fields = json_object(read_user_file(path, LARGEST_FILE_BYTES, hint=hint), where, _FILE_HINT)
    if "rows" in fields:
        return _calibrated(load_calibration(str(path)), str(path))
    try:
        return Accelerator.model_validate(fields)
    except ValidationError as error:
        raise InputError(first_fault(error), where=where, hint=_FILE_HINT) from error
