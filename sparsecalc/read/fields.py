"""A config's keys, read strictly: every value checked, every key accounted for."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.text import brief, printable
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.model.spec import Layer
from sparsecalc.model.stored import StoredPart

LARGEST_SIZE = 2**40
MOST_LAYERS = 10_000
LARGEST_NUMBER = 1e300
_MISSING = object()


@cache
def _defaults(model_type: str) -> tuple[dict[str, Any], dict[str, str], str]:
    """Defaults, other names of keys, and the source, for one family."""
    if not (data_folder() / "config_defaults" / f"{model_type}.json").is_file():
        return {}, {}, ""
    found = read_data(f"config_defaults/{model_type}.json")
    return found["defaults"], found["other_names"], found["source"]


@cache
def off_keys() -> frozenset[str]:
    """Switches that no family here has: they change nothing while they are off, and are named while they are on."""
    return frozenset(read_data("ignored_config_keys.json")["harmless_while_off"])


@cache
def harmless_values() -> dict[str, list[Any]]:
    """Values of keys with which they say what is so anyway; with others they are named."""
    found: dict[str, list[Any]] = read_data("ignored_config_keys.json")["harmless_values"]
    return found


@cache
def ignored_keys() -> frozenset[str]:
    """Keys that change no cost in any family, with their reasons in data/ignored_config_keys.json."""
    return frozenset(key for keys in read_data("ignored_config_keys.json")["reasons"].values() for key in keys)


def whole(value: Any) -> Any:
    """An integer written as a float (8.0), as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Fields:
    """One config.json, or a part of it. Each getter checks the value and marks the key as read.

    A key that is absent takes transformers' default for the family, as `AutoConfig` would do. Sizes taken that way are
    named in a warning; the five that make a model (`required`) are refused when they are absent at the top level.
    """

    def __init__(self, config: dict[str, Any], model_type: str, *, where: str = "", nested: bool = False) -> None:
        self.config, self.model_type, self.where, self.nested = config, model_type, where, nested
        self.defaults, self.other_names, self.source = _defaults(model_type)
        self.used: set[str] = set()
        self.defaulted: dict[str, int] = {}
        self.notes: list[Note] = []
        self.mtp_layers = 0
        self.mtp: tuple[StoredPart, ...] = ()
        self.mtp_step: tuple[Layer, ...] = ()
        self._parts: list[Fields] = []

    def refuse(self, text: str, hint: str = "") -> NoReturn:
        """Stop with one clear line that names the config."""
        raise InputError(text, where=self.where, hint=hint)

    def note(self, code: str, text: str) -> None:
        """Add a warning that belongs to this model."""
        found = Note(code=code, text=printable(text, 1000))
        if found not in self.notes:
            self.notes.append(found)

    def ignore(self, *keys: str) -> None:
        """Mark keys that the family's reader knows and that change no cost."""
        self.used.update(keys)

    def _names(self, key: str) -> list[str]:
        """The names of a key, the one that wins first: transformers sets those of the class, then the rest in order."""
        own = self.other_names.get(key, key)
        names = [*(name for name in reversed(self.config) if self.other_names.get(name, name) == own), own]
        return sorted(dict.fromkeys(names), key=self.defaults.__contains__)

    def has(self, key: str) -> bool:
        """Whether the config itself gives the key a value."""
        return any(self.config.get(name) is not None for name in self._names(key))

    def need_own_name(self, key: str) -> None:
        """Refuse a key that is given by another name only: transformers derives other sizes before it looks there."""
        if self.config.get(key) != self.raw(key):
            other = next(name for name in self._names(key) if name in self.config and name != key)
            self.refuse(f"{key} is missing, or {other} disagrees with it", f"Write it as {key}")

    def raw(self, key: str, default: Any = _MISSING) -> Any:
        """The value as it stands, or the family's default."""
        present = [name for name in self._names(key) if name in self.config]
        self.used.update(present)
        given = [name for name in present if self.config[name] is not None]
        values = [self.config[name] for name in given]
        if any(value != values[0] for value in values[1:]):
            self.note("conflicting-keys", f"{' and '.join(given)} disagree; {given[0]}={brief(values[0])} was used")
        if present:
            return values[0] if values else None
        own = self.other_names.get(key, key)
        return self.defaults.get(key, self.defaults.get(own)) if default is _MISSING else default

    def size(self, key: str, default: Any = _MISSING, *, required: bool = False, zero: bool = False) -> int:
        """A positive integer (zero too, where that means none)."""
        value = self.optional_size(key, default, required=required, zero=zero)
        if value is None:
            self.refuse(f"{key} is missing", f"A {self.model_type} config needs it: add it to the config")
        return value

    def optional_size(
        self, key: str, default: Any = _MISSING, *, required: bool = False, zero: bool = False
    ) -> int | None:
        """A positive integer, or None where neither the config nor the family's defaults have one."""
        absent = not any(name in self.config for name in self._names(key))
        if absent and required and not self.nested:
            self.refuse(f"{key} is missing", f"A {self.model_type} config needs it: add it to the config")
        value = whole(self.raw(key, default))
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(f"{key} is {brief(value)}, not an integer", "Write it as a plain number")
        if value < (0 if zero else 1):
            self.refuse(f"{key} is {brief(value)}", "It must be positive")
        if value > LARGEST_SIZE:
            self.refuse(f"{key} is {brief(value)}, larger than any model's", "Check the config")
        if absent and default is _MISSING and value:
            self.defaulted[key] = value
        return value

    def layers(self, key: str = "num_hidden_layers") -> int:
        """The number of layers; refused above 10,000, far beyond any model."""
        value = self.size(key, required=True)
        if value > MOST_LAYERS:
            self.refuse(f"{key} is {value}, more than {MOST_LAYERS}", "Check the config")
        return value

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """True or false."""
        value = self.raw(key, default)
        if value is None:
            return False
        if not isinstance(value, bool) and value not in (0, 1):
            self.refuse(f"{key} is {brief(value)}, not true or false")
        return bool(value)

    def text(self, key: str, default: Any = _MISSING) -> str:
        """A string, empty where the key is absent."""
        value = self.raw(key, default)
        if value is not None and not isinstance(value, str):
            self.refuse(f"{key} is {brief(value)}, not a string")
        return value or ""

    def number(self, key: str, default: Any = _MISSING) -> float:
        """A finite number."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
            self.refuse(f"{key} is {brief(value)}, not a finite number")
        return float(value)

    def sequence(self, key: str, default: Any = _MISSING) -> list[Any] | None:
        """A list, or None where the key is absent."""
        value = self.raw(key, default)
        if value is not None and not isinstance(value, list):
            self.refuse(f"{key} is {brief(value)}, not a list")
        return value

    def integers(self, key: str) -> list[int]:
        """A list of integers, empty where the key is absent."""
        values = [whole(value) for value in self.sequence(key) or []]
        if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
            self.refuse(f"{key} holds something that is not an integer")
        return values

    def per_layer(self, key: str, count: int, allowed: Sequence[str]) -> list[str] | None:
        """A list with one of the `allowed` words per layer, or None where the key is absent."""
        values = self.sequence(key)
        if values is None:
            return None
        if len(values) < count:
            self.refuse(f"{key} has {len(values)} entries for {count} layers")
        wrong = next((value for value in values[:count] if value not in allowed), None)
        if wrong is not None:
            self.refuse(f"{key} holds {brief(wrong)}", f"Known are {', '.join(allowed)}")
        return values[:count]

    def part(self, key: str) -> "Fields":
        """A nested dictionary of the config (dbrx's attn_config), with its own strict reading."""
        value = self.raw(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.refuse(f"{key} is {brief(value)}, not an object")
        found = Fields(value, f"{self.model_type}.{key}", where=f"{self.where}: {key}" if self.where else key)
        found.nested = self.nested
        self._parts.append(found)
        return found

    def heads(self, heads: str = "num_attention_heads", kv: str = "num_key_value_heads") -> tuple[int, int]:
        """Query heads and key-value heads (absent: as many); the first must be a multiple of the second."""
        queries = self.size(heads, required=True)
        keys = self.optional_size(kv)
        if kv in self.defaulted and not self.nested:
            self.refuse(f"{kv} is missing", f"A {self.model_type} config needs it: add it to the config")
        keys = queries if keys is None else keys
        if queries % keys:
            self.refuse(f"{heads} ({queries}) is not a multiple of {kv} ({keys})", "Check the config")
        return queries, keys

    def head_dim(self, hidden: int, heads: int, key: str = "head_dim") -> int:
        """head_dim, or hidden_size / heads, which must then divide."""
        given = self.optional_size(key)
        if given is not None:
            return given
        if hidden % heads:
            self.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads and {key} is not given")
        return hidden // heads

    def finish(self) -> list[Note]:
        """Warnings: sizes taken from defaults, and keys that nobody read."""
        notes = list(self.notes)
        defaulted = dict(self.defaulted)
        unread = self._unread(self.config, "")
        for part in self._parts:
            notes += part.notes
            defaulted |= part.defaulted
            unread += part._unread(part.config, part.model_type.partition(".")[2] + ".")
        if defaulted:
            listed = ", ".join(f"{key}={value}" for key, value in defaulted.items())
            notes.append(
                Note(code="default-used", text=f"not in the config, so {self.source}'s default holds: {listed}")
            )
        if unread:
            text = f"keys that were not read and may change a cost: {', '.join(unread)}"
            notes.append(Note(code="unread-keys", text=text))
        return notes

    def _unread(self, config: dict[str, Any], prefix: str) -> list[str]:
        known = self.used | ignored_keys()
        return [
            printable(f"{prefix}{key}", 80)
            for key, value in config.items()
            if key not in known and value is not None and not _is_harmless(key, value)
        ]


def _is_harmless(key: str, value: Any) -> bool:
    """Whether a key that nobody read changes nothing with this value."""
    return (value is False and key in off_keys()) or value in harmless_values().get(key, ())
