"""Numbers that a model's own class has in its code, beyond its config's defaults: data/class_constants.json."""

from typing import Any

from sparsecalc.data_files import read_data


def class_constants(family: str) -> dict[str, Any]:
    """The constants of one family, by name."""
    found: dict[str, Any] = read_data("class_constants.json")["families"][family]
    return found
