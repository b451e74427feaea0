"""Calibrations: what the micro-benchmarks of one device gave, and the constants fitted to them, as one JSON file."""

import os
import sys
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import printable
from sparsecalc.core.user_files import json_object, read_user_file

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
    """Kind of device, as torch names it: cpu, cuda or mps; `serving` of an anchor."""
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
    anchor: dict[str, Any] | None = None
    """Measured rows of a serving stack (`--from-serving`), or tests of a machine (`--from-llama-bench`), beside
    predictions of them; None: kernels were timed."""


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
    from sparsecalc.device.calibration_file import check_calibration

    where = printable(str(path))
    content = read_user_file(path, LARGEST_FILE_BYTES, hint=_HINT, missing="no such calibration file")
    given = json_object(content, where, _HINT)
    known = {entry.name for entry in fields(Calibration)}
    check_calibration(given, where, _HINT)
    return Calibration(**{key: value for key, value in given.items() if key in known})


def has_own_calibration(name: str) -> bool:
    """Whether the user has calibrated what `local`, `local-cpu`... means."""
    return any(name in (LOCAL, f"{LOCAL}-{path.stem}") for path in _made())


def _made() -> list[Path]:
    """The user's own finished calibrations."""
    folder = user_folder() / "calibrations"
    made = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [path for path in made if not path.name.endswith(".partial.json")]


def _local(name: str) -> Path:
    made = _made()
    if not made:
        raise InputError("this device has not been calibrated yet", hint="Do it: sparsecalc calibrate")
    if name == LOCAL:
        return max(made, key=lambda path: path.stat().st_mtime)
    by_name = {f"{LOCAL}-{path.stem}": path for path in made}
    if name not in by_name:
        hint = did_you_mean(name, by_name).removeprefix(". ")
        raise InputError(f"no calibration {printable(name, 60)!r}", hint=hint or f"There is {', '.join(by_name)}")
    return by_name[name]
