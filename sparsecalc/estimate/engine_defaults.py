"""What serving engines do unless they are told otherwise, and spreads that nothing was fitted to: data with sources."""

from functools import cache

from sparsecalc.data_files import read_data


@cache
def _table() -> dict[str, float]:
    return {name: float(entry["value"]) for name, entry in read_data("engine_defaults.json").items()}


def engine_default(name: str) -> float:
    """A default of data/engine_defaults.json."""
    return _table()[name]


def whole_default(name: str) -> int:
    """A default that is a whole number: tokens, bytes."""
    return int(engine_default(name))
