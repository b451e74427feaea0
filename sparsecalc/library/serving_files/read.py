"""Files and folders of serving benchmarks: which tool wrote each, its rows, and what could not be read."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import printable
from sparsecalc.core.user_files import json_of, read_user_file, text_of
from sparsecalc.library.serving_files.aiperf import read_aiperf, read_aiperf_csv
from sparsecalc.library.serving_files.guidellm import read_guidellm
from sparsecalc.library.serving_files.inferencex import read_inferencex
from sparsecalc.library.serving_files.own_csv import read_own_csv, unread_columns
from sparsecalc.library.serving_files.rows import ServingRow
from sparsecalc.library.serving_files.sglang_serving import read_sglang_serving
from sparsecalc.library.serving_files.vllm_forward import read_vllm_forward
from sparsecalc.library.serving_files.vllm_serve import read_vllm_serve

LARGEST_FILE_BYTES = 256 * 2**20
MOST_FILES = 1_000
ENDINGS = (".csv", ".json", ".jsonl")
TOOLS = "a csv with tpot_seconds, vllm bench serve or forward, SGLang's bench_serving, GuideLLM, AIPerf, InferenceX"
_SPACE = re.compile(r"\s*")
_HINT = f"It takes {TOOLS}"
OBJECTS = (read_inferencex, read_vllm_forward, read_guidellm, read_aiperf, read_sglang_serving, read_vllm_serve)
TEXTS = (read_own_csv, read_aiperf_csv)


class LeftOut(Frozen):
    """What was not used, and why."""

    where: str
    why: str


class ServingFiles(Frozen):
    """What files of serving benchmarks hold."""

    rows: tuple[ServingRow, ...]
    left_out: tuple[LeftOut, ...]


def read_serving_files(names: list[str]) -> ServingFiles:
    """The rows of files, and of all files of a folder (csv, json, jsonl; not of folders in it).

    Raises InputError in one line: no such file, an empty one, a number that is none, a csv with an unknown column.
    """
    rows: list[ServingRow] = []
    left_out: list[LeftOut] = []
    for path in _files(names):
        where = printable(str(path))
        text = text_of(read_user_file(path, LARGEST_FILE_BYTES, hint=_HINT), where, _HINT)
        unknown: list[str] = []
        for place, found in _parts(text, where):
            if found is None:
                unknown.append(place)
            rows += found or ()
            if found and found[0].tool == "csv":
                unread = (f"the column {name} is not read" for name in unread_columns(text))
                left_out += [LeftOut(where=where, why=why) for why in unread]
        if unknown:
            more = f", nor {len(unknown) - 1:,} more entries" if len(unknown) > 1 else ""
            left_out.append(LeftOut(where=unknown[0], why=f"not the result of a tool that is known{more}"))
    return ServingFiles(rows=tuple(rows), left_out=tuple(left_out))


def _files(names: list[str]) -> list[Path]:
    paths: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in ENDINGS and each.is_file())
            if not inside:
                raise InputError(f"no {' or '.join(ENDINGS)} file in it", where=printable(name), hint=_HINT)
            paths += inside
        else:
            paths.append(path)
    if len(paths) > MOST_FILES:
        raise InputError(f"{len(paths)} files", hint=f"At most {MOST_FILES} are read at once")
    return paths


def _parts(text: str, where: str) -> Iterator[tuple[str, list[ServingRow] | None]]:
    """Each object of a JSON file, or the whole of any other, with its rows; None: no tool is known that wrote it."""
    if text.lstrip()[0] in "{[":
        objects = json_values(text, where, _HINT)
        for index, value in enumerate(objects, 1):
            place = where if len(objects) == 1 else f"{where}, entry {index}"
            read = (reader(value, place) for reader in OBJECTS) if isinstance(value, dict) else iter(())
            yield place, next((rows for rows in read if rows is not None), None)
        return
    yield where, next((rows for reader in TEXTS if (rows := reader(text, where)) is not None), None)


def json_values(text: str, where: str, hint: str) -> list[Any]:
    """The JSON values of a text, one behind the other (jsonl); a list is its entries. Raises InputError for no JSON."""
    decoder, values, place, text = json.JSONDecoder(), [], 0, text.strip()
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            json_of(text[place:], where, hint)
            raise
        values += value if isinstance(value, list) else [value]
        place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
    return values
