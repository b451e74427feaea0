"""Our own csv: a header with the names of the columns, a line for each measured load."""

import csv
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief, printable
from sparsecalc.library.serving_files.rows import ServingRow, number, whole, word

WORDS = ("model", "gpu", "engine", "dtype", "kv_cache_dtype")
WHOLE = ("num_gpus", "tp", "pp", "ep", "dp")
NUMBERS = ("concurrency", "prompt_len", "output_len", "tpot_seconds", "ttft_seconds")
COLUMNS = (*WORDS, *WHOLE, *NUMBERS)


def read_own_csv(text: str, where: str) -> list[ServingRow] | None:
    """The rows; None where no column is tpot_seconds. Raises InputError for a value that is none."""
    lines = csv.reader(text.splitlines())
    try:
        header = _header(next(lines, []))
        if "tpot_seconds" not in header:
            return None
        return [_row(header, line, f"{where}, line {lines.line_num}") for line in lines if any(map(str.strip, line))]
    except csv.Error as error:
        raise InputError(f"not a csv file ({brief(str(error))})", where=where) from error


def unread_columns(text: str) -> list[str]:
    """Columns of a csv that have no meaning here."""
    first = next(csv.reader(text.splitlines()[:1]), [])
    return [printable(name, 60) for name in _header(first) if name not in COLUMNS]


def _header(line: list[str]) -> list[str]:
    return [name.strip().lower() for name in line]


def _row(header: list[str], line: list[str], where: str) -> ServingRow:
    if len(line) != len(header):
        raise InputError(f"{len(line)} values for {len(header)} columns", where=where)
    cells = dict(zip(header, (cell.strip() for cell in line), strict=True))
    found: dict[str, Any] = {name: word(cells.get(name)) for name in WORDS}
    found |= {name: whole(cells.get(name), name, where) for name in WHOLE}
    found |= {name: number(cells.get(name), name, where) for name in NUMBERS}
    return ServingRow(where=where, tool="csv", **found)
