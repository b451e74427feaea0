"""Calibrations: what the micro-benchmarks of one device gave, and the constants fitted to them, as one JSON file."""

import os
import sys
from dataclasses import field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.json_files import json_object
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable

LARGEST_FILE_BYTES = 2**26
LOCAL = "local"
_HINT = "Make one: sparsecalc calibrate -o FILE"


class Calibration(Frozen):
    """Raw timings of one device, the conditions they were taken under, and the constants fitted to them.

    A row names its `op` and shapes, and holds `seconds` (the median) and `samples` (each one, in seconds).
    """

    schema_version: Literal[1] = 1
    """Version of this format."""
    created: str
    """Time of the calibration, UTC, in ISO 8601."""
    device: str
    """Kind of device, as torch names it: cpu, cuda or mps."""
    device_name: str
    """Name of the device, as it calls itself."""
    accelerator: str | None = None
    """Id of the data sheet that the efficiencies are shares of; None where the device is not known."""
    complete: bool = True
    """Whether all benchmarks were run."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Conditions of the measurement: versions, clocks, load."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The benchmarks; each has an `op`, its shapes, `seconds` (the median) and `samples` (all, in seconds)."""
    constants: dict[str, Any] | None = None
    """The fitted constants, which predictions use; None before the fit."""
    prior: dict[str, Any] | None = None
    """The constants that the fit started from, and that it stays near where few rows speak against them."""
    residuals: dict[str, Any] | None = None
    """Errors of the fitted formulas over the rows, by class of operation."""


def user_folder() -> Path:
    """Where this user's data of sparsecalc lies: the platform's folder for it.

    XDG_DATA_HOME or ~/.local/share on Linux and other Unix, ~/Library/Application Support on macOS, %LOCALAPPDATA% on
    Windows; each with `sparsecalc` appended.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        named = os.environ.get("XDG_DATA_HOME", "")
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "share"
    return base / "sparsecalc"


def local_path(device: str) -> Path:
    """The user's own calibration of `device` (cpu, cuda, mps)."""
    return user_folder() / "calibrations" / f"{device}.json"


def load_calibration(name: str) -> Calibration:
    """The calibration in the file `name`; `local` is the user's newest, `local-cpu` the one of that device.

    Raises InputError in one line: no such file, not JSON, not a calibration, another schema, an interrupted one.
    """
    path = _local(name) if name == LOCAL or name.startswith(f"{LOCAL}-") else Path(name).expanduser()
    found = read_calibration(path)
    if not found.complete:
        raise InputError("an unfinished calibration", where=printable(str(path)), hint="sparsecalc calibrate --resume")
    return found


def read_calibration(path: Path) -> Calibration:
    """The calibration in a file, finished or not. Raises InputError."""
    where = printable(str(path))
    given = _parse(path, where)
    if given.get("schema_version") != 1:
        raise InputError(f"schema_version is {brief(given.get('schema_version'))}, not 1", where=where, hint=_HINT)
    known = {entry.name for entry in fields(Calibration)}
    try:
        calibration = Calibration(**{key: value for key, value in given.items() if key in known})
    except TypeError as error:
        raise InputError(f"not a calibration ({error})", where=where, hint=_HINT) from error
    _check(calibration, where)
    return calibration


def _local(name: str) -> Path:
    folder = user_folder() / "calibrations"
    made = sorted(folder.glob("*.json")) if folder.is_dir() else []
    made = [path for path in made if not path.name.endswith(".partial.json")]
    if not made:
        raise InputError("this device has not been calibrated yet", hint="Do it: sparsecalc calibrate")
    if name == LOCAL:
        return max(made, key=lambda path: path.stat().st_mtime)
    by_name = {f"{LOCAL}-{path.stem}": path for path in made}
    if name not in by_name:
        hint = did_you_mean(name, by_name).removeprefix(". ")
        raise InputError(f"no calibration {printable(name, 60)!r}", hint=hint or f"There is {', '.join(by_name)}")
    return by_name[name]


def _parse(path: Path, where: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"no such calibration file: {where}", hint=_HINT) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read ({reason})", where=where) from error
    return json_object(content, where, LARGEST_FILE_BYTES, _HINT)


_TYPES: dict[str, tuple[type, ...]] = {
    "created": (str,),
    "device": (str,),
    "device_name": (str,),
    "accelerator": (str, type(None)),
    "complete": (bool,),
    "environment": (dict,),
    "rows": (list,),
    "constants": (dict, type(None)),
    "prior": (dict, type(None)),
    "residuals": (dict, type(None)),
}


def _check(found: Calibration, where: str) -> None:
    """Every field of its type, every row with an op and positive seconds."""
    for name, kinds in _TYPES.items():
        if not isinstance(getattr(found, name), kinds):
            raise InputError(f"{name} is {brief(getattr(found, name))}", where=where, hint=_HINT)
    for index, row in enumerate(found.rows):
        seconds = row.get("seconds") if isinstance(row, dict) else None
        good = isinstance(seconds, int | float) and not isinstance(seconds, bool) and isfinite(seconds) and seconds > 0
        if not good or not isinstance(row.get("op"), str):
            text = f"rows[{index}] needs an op and positive seconds, not {brief(row)}"
            raise InputError(text, where=where, hint=_HINT)
