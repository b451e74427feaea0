"""Accelerators by id, alias, or a user's own file."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.data_files import data_folder
from sparsecalc.model.accelerator import Accelerator, Price, ScaleUp


def accelerator_ids() -> list[str]:
    """Ids of all built-in accelerators, from file names."""
    return sorted(path.stem for path in (data_folder() / "accelerators").glob("*.json"))


@cache
def aliases() -> dict[str, str]:
    """Short names, each of one accelerator; read from the files only when an id is not found."""
    return {alias: found["id"] for found in map(_read, accelerator_ids()) for alias in found["aliases"]}


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data_folder() / "accelerators" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def load_accelerator(name: str) -> Accelerator:
    """The accelerator that `name` means: an id, an alias, or a `.json` file of the same form.

    Raises InputError with the closest name, or with what is wrong in the file.
    """
    wanted = name.strip().lower()
    if name.endswith(".json"):
        return _from_file(Path(name))
    ids = accelerator_ids()
    target = wanted if wanted in ids else aliases().get(wanted)
    if target is None:
        hint = did_you_mean(wanted, [*ids, *aliases()]).removeprefix(". ")
        raise InputError(f"unknown accelerator {name!r:.60}", hint=f"{hint} List them: sparsecalc gpus".strip())
    return _accelerator(_read(target))


def _from_file(path: Path) -> Accelerator:
    try:
        return _accelerator(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        text = f"not an accelerator ({str(error)[:120]})"
        raise InputError(text, where=str(path), hint="Copy the form of a file in data/accelerators") from error


def _accelerator(found: dict[str, Any]) -> Accelerator:
    price, link = found.get("usd_per_hour"), found.get("scale_up")
    lists = {key: tuple(found[key]) for key in ("aliases", "sources", "unverified_fields") if key in found}
    parts = {"usd_per_hour": Price(**price) if price else None, "scale_up": ScaleUp(**link) if link else None}
    return Accelerator(**{**found, **lists, **parts})
