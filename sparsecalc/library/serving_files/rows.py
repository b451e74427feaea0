"""A measured load of a server, as far as its file tells, and how values of such files are read."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief

Record = dict[str, Any]
LARGEST = 1e12
"""Of any number in such a file: tokens, milliseconds, requests."""


class ServingRow(Frozen):
    """One benchmark of a server; None: its file does not tell. Mean lengths and times, SI units."""

    where: str
    """File, and the line or entry in it."""
    tool: str
    model: str | None = None
    gpu: str | None = None
    num_gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    engine: str | None = None
    dtype: str | None = None
    kv_cache_dtype: str | None = None
    concurrency: float | None = None
    prompt_len: float | None = None
    output_len: float | None = None
    tpot_seconds: float | None = None
    ttft_seconds: float | None = None
    kernels_only: bool = False
    """Whether the time is that of the forward pass alone, without what the engine adds to a step."""
    unusable: str = ""
    """Why its time is none that a prediction can be held against."""


def number(value: Any, name: str, where: str) -> float | None:
    """A number from 0 to `LARGEST`; None for nothing. Raises InputError naming the field for anything else."""
    if value is None or value == "":
        return None
    try:
        found = float(value.replace(",", "") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        found = -1.0
    if not 0 <= found <= LARGEST or isinstance(value, bool):
        raise InputError(f"{name} is {brief(value)}", where=where, hint="It must be a number between 0 and 1e12")
    return found


def whole(value: Any, name: str, where: str) -> int | None:
    """A whole number of 1 or more; None for nothing. Raises InputError for anything else."""
    found = number(value, name, where)
    if found is None:
        return None
    if found < 1 or not found.is_integer():
        raise InputError(f"{name} is {brief(value)}", where=where, hint="It must be a whole number, 1 or more")
    return int(found)


def word(value: Any) -> str | None:
    """A text; None for anything else, and for none."""
    return value.strip() or None if isinstance(value, str) else None


def part(record: Any, *path: str) -> Any:
    """What stands in nested objects at a path; None where there is nothing."""
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def seconds(value: Any, name: str, where: str, per_second: float = 1e3) -> float | None:
    """A time in seconds of one in units of which a second has `per_second`; of 0 None: nothing was measured."""
    found = number(value, name, where)
    return found / per_second if found else None


def mean(total: Any, count: Any, name: str, where: str) -> float | None:
    """total / count of a file's two sums; None where one of them is absent or 0."""
    above, below = number(total, name, where), number(count, name, where)
    return above / below if above and below else None


def in_flight(requests_per_second: float | None, row: ServingRow) -> float | None:
    """Mean requests in flight of an open loop: Little's law, rate * (TTFT + TPOT * (output_len - 1)), at least 1."""
    if not (requests_per_second and row.tpot_seconds and row.output_len):
        return None
    return max(1.0, requests_per_second * ((row.ttft_seconds or 0.0) + row.tpot_seconds * (row.output_len - 1)))
