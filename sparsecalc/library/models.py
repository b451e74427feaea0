"""Find a model: a built-in id or alias, a config file, a folder, standard input, or a Hub id."""

import json
import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.model.spec import ModelSpec, Note
from sparsecalc.read.config import read_config

LARGEST_CONFIG_BYTES = 16 * 2**20
FACTS_KEY = "sparsecalc"
"""Where a spec file keeps what is known about a model beside its config: sources, published figures."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A spec with what its file says about it."""

    spec: ModelSpec
    config: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    """Warnings about how the model was found, and those of the spec."""
    origin: str = "built-in"


def model_ids() -> list[str]:
    """Ids of the built-in specs and of the user's own (SPARSECALC_DATA), from file names."""
    folders = [data_folder() / "model_specs", *_own_folder()]
    return sorted({path.stem for folder in folders for path in folder.glob("*.json")})


def _own_folder() -> list[Path]:
    own = os.environ.get("SPARSECALC_DATA")
    return [Path(own)] if own else []


@cache
def aliases() -> dict[str, str]:
    """Short names and the built-in spec that each stands for."""
    found: dict[str, str] = read_data("model_aliases.json")["aliases"]
    return found


def load_model(name: str) -> LoadedModel:
    """The model that `name` means: built-in id, alias, `config.json`, folder, `.gguf`, `-`, or `org/name` on the Hub.

    Raises InputError, in one clear line, where there is none or its config makes no sense.
    """
    if name == "-":
        return _from_config(_parse(sys.stdin.read(LARGEST_CONFIG_BYTES + 1), "standard input"), "stdin", "standard input")
    if not name.strip():
        raise InputError("the model's name is empty", hint="List them: sparsecalc models")
    if found := _built_in(name):
        return found
    if _is_path(name):
        return _from_path(Path(name))
    if _HUB_ID.fullmatch(name):
        return _from_hub_id(name)
    known = [*model_ids(), *aliases()]
    hint = did_you_mean(name, known).removeprefix(". ")
    raise InputError(f"unknown model '{_printable(name)}'", hint=f"{hint} List them: sparsecalc models".strip())


def _is_path(name: str) -> bool:
    looks = name.startswith((".", "/", "~")) or name.endswith((".json", ".gguf")) or os.sep == "\\" and "\\" in name
    try:
        return looks or Path(name).exists()
    except (OSError, ValueError):
        return False


def _built_in(name: str) -> LoadedModel | None:
    """A built-in or the user's own spec by id or alias; the alias says in a note what it stands for."""
    wanted = name.lower()
    target = aliases().get(wanted, wanted) if _NAME.fullmatch(wanted) else ""
    for folder in [*_own_folder(), data_folder() / "model_specs"]:
        path = folder / f"{target}.json"
        if target and path.is_file():
            notes = (Note(code="alias", text=f"'{wanted}' stands for {target}"),) if target != wanted else ()
            return _from_config(_parse(path.read_text(encoding="utf-8"), target), target, "built-in", notes)
    return None


def _from_path(path: Path) -> LoadedModel:
    try:
        path = path.expanduser()
        if path.is_dir():
            path = path / "config.json"
            if not path.is_file():
                raise InputError(f"no config.json in the folder {path.parent}", hint="Name the config file itself")
        if not path.is_file():
            raise InputError(f"no such file: {path}", hint="Name a config.json, a folder that holds one, or a model id")
        size = path.stat().st_size
        if path.suffix == ".gguf":
            from sparsecalc.library.gguf_file import read_gguf

            return _from_config(read_gguf(path), path.stem, str(path))
        if size > LARGEST_CONFIG_BYTES:
            raise InputError(f"{size:,} bytes are too many for a config", where=str(path), hint="Is it a config.json?")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=str(path), hint="A model config is JSON in UTF-8") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    name = path.parent.name if path.name == "config.json" and path.parent.name else path.stem
    return _from_config(_parse(text, str(path)), name, str(path))


def _parse(text: str, where: str) -> Any:
    if len(text) > LARGEST_CONFIG_BYTES:
        raise InputError(f"more than {LARGEST_CONFIG_BYTES:,} bytes", where=where, hint="Is it a config.json?")
    if not text.strip():
        raise InputError("the file is empty", where=where, hint="A model config is a JSON object")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({str(error)[:80]})", where=where, hint="A model config is a JSON object") from error


def _from_config(config: Any, name: str, where: str, notes: tuple[Note, ...] = ()) -> LoadedModel:
    facts: dict[str, Any] = {}
    if isinstance(config, dict) and isinstance(config.get(FACTS_KEY), dict):
        facts = config[FACTS_KEY]
        config = {key: value for key, value in config.items() if key != FACTS_KEY}
        name = str(facts.get("id") or name)
    spec = read_config(config, model_id=_printable(name) or "model", where="" if where == "built-in" else where)
    return LoadedModel(spec=spec, config=config, facts=facts, notes=(*notes, *spec.notes), origin=where)


def _from_hub_id(name: str) -> LoadedModel:
    for path in (data_folder() / "model_specs").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        if f'"{name.lower()}"' in text.lower() and json.loads(text)[FACTS_KEY].get("hub_id", "").lower() == name.lower():
            note = Note(code="built-in", text=f"{name} is the built-in {path.stem}; the network was not used")
            return _from_config(json.loads(text), path.stem, "built-in", (note,))
    return from_hub(name)


def from_hub(name: str) -> LoadedModel:
    """The model of a Hub repository, from its own config.json, even where a built-in spec has the same Hub id."""
    from sparsecalc.library.hub import fetch_config

    return _from_config(fetch_config(name), name, name)


def _printable(name: str) -> str:
    """Without control characters, so that no name can write to a terminal; at most 100 characters."""
    return "".join(char if char.isprintable() else "?" for char in name)[:100]
