"""Number formats by name: data/formats.json."""

from functools import cache

from sparsecalc.core.errors import InputError
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data


@cache
def _table() -> dict[str, NumberFormat]:
    found = read_data("formats.json")
    table: dict[str, NumberFormat] = {}
    for entry in found["formats"]:
        fields = {**entry, "keeps": tuple(entry.get("keeps", ())), "source": found["sources"][entry["source"]]}
        aliases = fields.pop("aliases")
        table[entry["id"]] = NumberFormat(**fields)
        table.update(dict.fromkeys(aliases, table[entry["id"]]))
    return table


def format_ids() -> list[str]:
    """The ids of all number formats."""
    return list(dict.fromkeys(fmt.id for fmt in _table().values()))


def number_format(name: str) -> NumberFormat:
    """A format by id or alias. Raises InputError with the closest name."""
    found = _table().get(name.strip().lower())
    if found is None:
        hint = f"Known: {', '.join(format_ids())}" + did_you_mean(name, _table())
        raise InputError(f"unknown dtype {brief(name)}", hint=hint)
    return found


def is_number_format(name: str) -> bool:
    """Whether there is a format of that id or alias."""
    return name in _table()
