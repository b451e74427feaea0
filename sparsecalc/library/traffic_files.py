"""Traces of requests and files of lengths.

A trace is CSV with a header, or JSON lines: `arrival_s, prompt_tokens, output_tokens` per request. Read as well:
Azure's public traces (TIMESTAMP as date and time, ContextTokens, GeneratedTokens; Azure/AzurePublicDataset,
AzureLLMInferenceTrace) and BurstGPT's (Timestamp in seconds, Request tokens, Response tokens; HPMLL/BurstGPT), whose
failed requests, those without a response, are left out.
"""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.text import brief, printable
from sparsecalc.core.user_files import read_user_file, text_of

LARGEST_LENGTHS_BYTES = 64 * 2**20
LARGEST_LINE = 65_536
LARGEST_TOKENS = 2**30
HINT = "A trace has the columns arrival_s, prompt_tokens, output_tokens, as CSV or JSON lines"
LENGTHS_HINT = "A file of lengths has a whole number of tokens on each line"
NAMES = {
    "arrival": ("arrival_s", "arrival_seconds", "arrived_at", "timestamp", "arrival_time"),
    "prompt": ("prompt_tokens", "contexttokens", "request tokens", "num_prefill_tokens", "input_length"),
    "output": ("output_tokens", "generatedtokens", "response tokens", "num_decode_tokens", "output_length"),
}
"""Names of the columns, in lower case: our own, Azure's, BurstGPT's, Vidur's, Mooncake's."""
MILLISECONDS = ("input_length",)
"""Columns of layouts whose arrivals are in milliseconds (Mooncake's)."""
Array = np.ndarray[Any, Any]


def read_trace(name: str, requests: int | None, most: int) -> tuple[Array, Array, Array]:
    """Arrival seconds from the first one's 0, prompt and output tokens; the first `requests` ones where that is given.

    Raises InputError in one line: no such file, a column that is lacking, a row without numbers, a negative or
    descending time, no request at all, more than `most` of them.
    """
    where = printable(name)
    times: list[float] = []
    prompts: list[int] = []
    outputs: list[int] = []
    for number, (at, prompt, output) in enumerate(_requests(Path(name).expanduser(), where), start=1):
        if requests is not None and len(times) == requests:
            break
        if len(times) == most:
            hint = f"Take the first ones: --requests {most}"
            raise InputError(f"more than {most:,} requests", where=where, hint=hint)
        if times and at < times[-1]:
            raise InputError(f"request {number} arrives before the one above it", where=where, hint="Sort by arrival")
        times.append(at)
        prompts.append(prompt)
        outputs.append(output)
    if not times:
        raise InputError("no request", where=where, hint=HINT)
    if requests is not None and len(times) < requests:
        hint = f"Ask for {len(times):,} or fewer"
        raise InputError(f"{len(times):,} requests, and {requests:,} are asked for", where=where, hint=hint)
    arrivals = np.array(times)
    return arrivals - arrivals[0], np.array(prompts), np.array(outputs)


def read_lengths(name: str) -> tuple[int, ...]:
    """The lengths in a file, one on each line. Raises InputError in one line."""
    where = printable(name)
    text = text_of(read_user_file(Path(name), LARGEST_LENGTHS_BYTES, hint=LENGTHS_HINT), where, LENGTHS_HINT)
    found = []
    for number, line in enumerate(text.split(), start=1):
        if not line.isdecimal() or not 0 < int(line[:12]) <= LARGEST_TOKENS:
            raise InputError(f"line {number} is {brief(line)}", where=where, hint=LENGTHS_HINT)
        found.append(int(line))
    return tuple(found)


def _requests(path: Path, where: str) -> Iterator[tuple[float, int, int]]:
    """The requests of a file, one by one as they are read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(LARGEST_LINE)
            if not first.strip():
                raise InputError("the file is empty", where=where, hint=HINT)
            rows = _json_rows(first, file, where) if first.lstrip().startswith("{") else _csv_rows(first, file, where)
            for number, row in rows:
                request = _request(row, f"line {number}", where)
                if request is not None:
                    yield request
    except FileNotFoundError as error:
        raise InputError(f"no such trace: {where}", hint=HINT) from error
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=where, hint=HINT) from error
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot be read ({printable(reason_of(error), 80)})", where=where, hint=HINT) from error


def _csv_rows(first: str, lines: Iterator[str], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    header = [cell.strip().lower() for cell in next(csv.reader([first]))]
    for number, cells in enumerate(csv.reader(_bounded(lines, where)), start=2):
        if cells:
            yield number, dict(zip(header, cells, strict=False))


def _json_rows(first: str, lines: Iterator[str], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    def every() -> Iterator[str]:
        yield first
        yield from _bounded(lines, where)

    for number, line in enumerate(every(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number} is not JSON", where=where, hint=HINT) from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} is not a JSON object", where=where, hint=HINT)
        yield number, {str(key).lower(): value for key, value in row.items()}


def _bounded(lines: Iterator[str], where: str) -> Iterator[str]:
    """Lines of a sane length."""
    for line in lines:
        if len(line) > LARGEST_LINE:
            raise InputError("a line is too long", where=where, hint=HINT)
        yield line


def _request(row: dict[str, Any], place: str, where: str) -> tuple[float, int, int] | None:
    """Arrival, prompt and output of a row; None for a request that failed."""
    columns = {part: name for part, names in NAMES.items() for name in reversed(names) if name in row}
    if lacking := [names[0] for part, names in NAMES.items() if part not in columns]:
        raise InputError(f"{place} has no {' and no '.join(lacking)}", where=where, hint=HINT)
    at = _seconds(row[columns["arrival"]], place, where)
    if columns["prompt"] in MILLISECONDS:
        at /= 1000
    if at < 0:
        raise InputError(f"{place} arrives at {at:g} seconds", where=where, hint="Times start at 0")
    prompt, output = (_tokens(row[columns[part]], place, where) for part in ("prompt", "output"))
    if columns["output"] == "response tokens" and output == 0:
        return None
    if prompt < 1 or output < 1:
        raise InputError(f"{place} has {prompt} prompt and {output} output tokens", where=where, hint="At least 1 each")
    return at, prompt, output


def _tokens(value: Any, place: str, where: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not number == number or number != int(min(max(number, -1.0), LARGEST_TOKENS + 1.0)) or number > LARGEST_TOKENS:
        raise InputError(f"{place} has {brief(str(value))} for a number of tokens", where=where, hint=HINT)
    return int(number)


def _seconds(value: Any, place: str, where: str) -> float:
    """A number of seconds, or a date and time."""
    try:
        number = float(value)
        if abs(number) <= 1e12:
            return number
    except (TypeError, ValueError):
        try:
            text = str(value).strip()
            whole, dot, fraction = text.partition(".")
            digits = fraction[:6].rstrip("Z") if dot else "0"
            moment = datetime.fromisoformat(whole).timestamp()
            return moment + float(f"0.{digits}")
        except (ValueError, OverflowError, OSError):
            pass
    raise InputError(f"{place} has {brief(str(value))} for its arrival", where=where, hint=HINT)
