"""Find a model: a built-in id or alias, a config file, a folder, standard input, or a Hub id."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.notes import Note
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import printable
from sparsecalc.core.user_files import check_size, json_of, read_user_file, text_of
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.library.checkpoints import FACTS_KEY, built_in_checkpoint
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config
from sparsecalc.read.fields import Fields
from sparsecalc.read.stored.resolve import as_stored

LARGEST_CONFIG_BYTES = 16 * 2**20
QUANTIZATION_FILE = "hf_quant_config.json"
"""Where ModelOpt's checkpoints say how they are quantized, beside config.json."""
DEEPEST_CONFIG = 50
DERIVED_KEY = "derived"
"""Where a spec file keeps a spec that was derived from the architecture, of a family without a reader."""

_HUB_ID = r"[\w.-]+/[\w.-]+"
_NAME = r"[\w.+-]+"
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A spec with what its file says about it."""

    spec: ModelSpec
    config: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    """Warnings about how the model was found, and those of the spec."""
    origin: str = "built-in"

    def with_parts(self, asked: tuple[str, ...]) -> "LoadedModel":
        """The model with its vision or audio tower or prediction layers as stored weights.

        A part that the config does not give is named in a note. Raises InputError for one that is not known.
        """
        if not asked:
            return self
        from sparsecalc.read.towers.beside import is_by_formula, stored_parts

        where = "" if self.origin == "built-in" else self.origin
        notes, final = list(self.notes), list(self.spec.final)
        for name in asked:
            parts = stored_parts(self.spec, self.config, name, where)
            size = sum(part.params for part in parts)
            text = f"{name}: {size:,} parameters beside the text decoder, stored and not read by steps on text"
            if is_by_formula(self.spec, self.config, name):
                text += "; by formula, after the code of engines"
            if self.spec.stored and self.spec.stored.scheme:
                text += "; in the plain dtype: less where the checkpoint's scheme covers them too"
            if parts and name == "mtp":
                copies = 2 * self.spec.vocab_size * self.spec.hidden_size
                text += f"; a checkpoint may hold copies of the embedding and the LM head ({copies:,}), not counted"
            notes.append(Note(code="with-parts", text=text if parts else f"the config gives no {name} part to count"))
            final += parts
            if parts:
                notes = [left for note in notes if (left := _without_counted(note, name))]
        return replace(self, spec=self.spec.but(final=tuple(final)), notes=tuple(notes))

    @property
    def warnings(self) -> list[Note]:
        """The notes as a document has them, each with the model's id."""
        return [note.but(model=self.spec.id) for note in self.notes]


COUNTED_KEYS = {
    "vision": {"vision_config", "embd_layer", "img_processor", "projector_config"},
    "audio": {"audio_config", "audio_processor", "encoder_config", "projector_config"},
}
"""Keys of a config that hold the part that `--with` names, as a note on what is left out lists them."""


def _without_counted(note: Note, part: str) -> Note | None:
    """The note as it is once this part is counted: without its keys, and none where nothing else is left out."""
    start, said, keys = note.text.partition("left out: ")
    if note.code != "text-decoder-only" or not said:
        return None if part == "mtp" and note.code == "mtp-layers" else note
    left = [key for key in keys.split(", ") if key not in COUNTED_KEYS.get(part, set())]
    return note.but(text=start + said + ", ".join(left)) if left else None


@dataclass(frozen=True, slots=True)
class FoundConfig:
    """A config as it was found, not yet read, with what its file says beside it."""

    config: Any
    name: str
    where: str
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    def read(self) -> LoadedModel:
        """The model, by its family's reader; or by the derived spec that the file keeps beside the config."""
        where = "" if self.where == "built-in" else self.where
        if DERIVED_KEY in self.facts:
            from sparsecalc.model.spec_json import spec_from_data

            try:
                spec = spec_from_data(self.facts[DERIVED_KEY]).but(id=self.name)
            except InputError as error:
                raise InputError(error.text, where=where, hint="Import the model again") from error
            config = self.config if isinstance(self.config, dict) else {}
            return self.as_model(as_stored(spec, Fields(config, spec.model_type, where=where), spec.model_type))
        spec = read_config(self.config, model_id=self.name, where=where)
        if self.where == "built-in" and spec.stored:
            spec = spec.but(stored=spec.stored.but(origin="as published"))
        return self.as_model(spec)

    def as_model(self, spec: ModelSpec) -> LoadedModel:
        """The loaded model that `spec` makes of it."""
        notes, origin = (*self.notes, *spec.notes), printable(self.where, 1000)
        return LoadedModel(spec=spec, config=self.config, facts=self.facts, notes=notes, origin=origin)


def model_ids() -> list[str]:
    """Ids of the built-in specs and of the user's own (SPARSECALC_DATA), from file names."""
    paths = [*(data_folder() / "model_specs").glob("*.json"), *_own_specs()]
    return sorted({path.stem for path in paths})


def _own_specs() -> Iterator[Path]:
    """The user's own spec files: those in the folder that SPARSECALC_DATA names."""
    own = os.environ.get("SPARSECALC_DATA")
    if own and not Path(own).is_dir():
        raise InputError(
            "no such folder", where=f"SPARSECALC_DATA={own}", hint="Name a folder of spec files, or unset it"
        )
    return Path(own).glob("*.json") if own else iter(())


@cache
def aliases() -> dict[str, str]:
    """Short names and the built-in spec that each stands for."""
    found: dict[str, str] = read_data("model_aliases.json")["aliases"]
    return found


def load_model(name: str) -> LoadedModel:
    """The model that `name` means, its config read by its family's reader.

    Raises InputError, in one clear line, where there is none or its config makes no sense.
    """
    return find_config(name).read()


def find_config(name: str) -> FoundConfig:
    """The config that `name` means: built-in id, alias, `config.json`, folder, `.gguf`, `-`, or `org/name` on the Hub.

    Raises InputError, in one clear line, where there is none.
    """
    if name == "-":
        content = sys.stdin.buffer.read(LARGEST_CONFIG_BYTES + 1)
        return _from_config(_parse(content, "standard input"), "stdin", "standard input")
    if not name.strip():
        raise InputError("the model's name is empty", hint="List them: sparsecalc models")
    if found := _built_in(name):
        return found
    if _is_path(name):
        return _from_path(Path(name))
    if is_hub_id(name):
        return _from_hub_id(name)
    known = [*model_ids(), *aliases()]
    hint = did_you_mean(name, known).removeprefix(". ")
    raise InputError(f"unknown model '{printable(name, 60)}'", hint=f"{hint} List them: sparsecalc models".strip())


def _is_path(name: str) -> bool:
    looks = name.startswith((".", "/", "~")) or name.endswith((".json", ".gguf")) or name.count("/") > 1
    return looks or (os.sep == "\\" and "\\" in name) or os.path.lexists(name)


def is_hub_id(name: str) -> bool:
    """Whether `name` is `org/name` and nothing on this machine."""
    return len(name) <= LONGEST_NAME and bool(re.fullmatch(_HUB_ID, name)) and not _is_path(name)


def _built_in(name: str) -> FoundConfig | None:
    """A built-in or the user's own spec by id or alias; the alias says in a note what it stands for."""
    wanted = name.lower()
    if len(wanted) > LONGEST_NAME or not re.fullmatch(_NAME, wanted):
        return None
    if own := next((path for path in _own_specs() if path.stem.lower() == wanted), None):
        return _from_path(own)
    target = aliases().get(wanted, wanted)
    path = data_folder() / "model_specs" / f"{target}.json"
    if not path.is_file():
        return None
    notes = (Note(code="alias", text=f"'{wanted}' stands for {target}"),) if target != wanted else ()
    return _from_config(_parse(path.read_bytes(), target), target, "built-in", notes)


def _from_path(path: Path) -> FoundConfig:
    try:
        path = path.expanduser()
        if path.is_dir():
            path = _in_folder(path)
        if path.suffix == ".gguf" and path.is_file():
            from sparsecalc.library.gguf.files import model_name, read_gguf

            return _from_config(read_gguf(path), model_name(path), str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"cannot be read ({reason_of(error)})", where=str(path)) from error
    hint = "Name a config.json, a folder that holds one, or a model id"
    config = _parse(read_user_file(path, LARGEST_CONFIG_BYTES, hint=hint), str(path))
    name = path.absolute().parent.name if path.name == "config.json" else path.stem
    beside = path.parent / QUANTIZATION_FILE
    if path.name == "config.json" and beside.is_file():
        config = _with_quantization(
            config, _parse(read_user_file(beside, LARGEST_CONFIG_BYTES, hint=hint), str(beside))
        )
    return _from_config(config, name, str(path))


def _in_folder(folder: Path) -> Path:
    """The file of a folder that tells what the model is: config.json, or the one GGUF model in it."""
    if (config := folder / "config.json").is_file():
        return config
    from sparsecalc.library.gguf.files import gguf_in

    if found := gguf_in(folder):
        return found
    raise InputError(f"no config.json in the folder {folder}", hint="Name the config file itself")


def _with_quantization(config: Any, beside: Any) -> Any:
    """The config with what ModelOpt's hf_quant_config.json says, where it says nothing of its own."""
    section = beside.get("quantization") if isinstance(beside, dict) else None
    if not isinstance(config, dict) or not isinstance(section, dict) or config.get("quantization_config"):
        return config
    return {**config, "quantization_config": {"quant_method": "modelopt", **section}}


def _parse(content: bytes, where: str) -> Any:
    """JSON of sane size and depth, in UTF-8 with or without a byte order mark."""
    hint = "A model config is a JSON object"
    check_size(content, where, LARGEST_CONFIG_BYTES, "Is it a config.json?")
    value = json_of(text_of(content, where, hint), where, hint)
    if _deeper_than(value, DEEPEST_CONFIG):
        raise InputError("nested too deeply", where=where, hint=hint)
    return value


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
    return bool(level)


def _from_config(config: Any, name: str, where: str, notes: tuple[Note, ...] = ()) -> FoundConfig:
    facts: dict[str, Any] = {}
    if isinstance(config, dict) and FACTS_KEY in config:
        facts = _checked_facts(config[FACTS_KEY], where)
        config = {key: value for key, value in config.items() if key != FACTS_KEY}
        name = facts.get("id") or name
    return FoundConfig(config=config, name=printable(name, 100) or "model", where=where, facts=facts, notes=notes)


def _checked_facts(facts: Any, where: str) -> dict[str, Any]:
    """What a spec file says beside its config, with the types that reports rely on."""
    if not isinstance(facts, dict):
        raise InputError(
            f"{FACTS_KEY} is not an object", where=where, hint="It holds id, sources and published figures"
        )
    published = facts.get("published") or {}
    kinds: list[tuple[str, dict[str, Any], type]] = [("id", facts, str), ("hub_id", facts, str)]
    kinds += [("sources", facts, list), ("published", facts, dict), ("download_bytes", facts, int)]
    if isinstance(published, dict):
        kinds += [("total_text", published, str), ("active_text", published, str)]
    words: dict[type, str] = {str: "a string", list: "a list", dict: "an object", int: "a whole number"}
    for key, holder, kind in kinds:
        if holder.get(key) is not None and not isinstance(holder[key], kind):
            raise InputError(f"{FACTS_KEY}: {key} is not {words[kind]}", where=where, hint="Check the spec file")
    return facts


def _from_hub_id(name: str) -> FoundConfig:
    if (found := built_in_checkpoint(name)) is None:
        return find_on_hub(name)
    spec, file = found
    stands = f"{name} is the built-in {spec}"
    if file[FACTS_KEY]["id"] != spec:
        stands = f"{name} is a checkpoint of the built-in {spec}: {file[FACTS_KEY]['checkpoints'][0]['formats']}"
    note = Note(code="built-in", text=f"{stands}; the network was not used")
    return _from_config(file, spec, "built-in", (note,))


def from_hub(name: str) -> LoadedModel:
    """The model of a Hub repository, from its own config.json, even where a built-in spec has the same Hub id."""
    return find_on_hub(name).read()


def find_on_hub(name: str) -> FoundConfig:
    """The config.json of a Hub repository."""
    from sparsecalc.library.hub import fetch_config, fetch_if_there

    where = f"{name} on the Hub"
    config = _parse(fetch_config(name), where)
    if isinstance(config, dict) and not config.get("quantization_config"):
        beside = fetch_if_there(name, QUANTIZATION_FILE)
        config = _with_quantization(config, _parse(beside, where)) if beside else config
    return _from_config(config, name, name)
