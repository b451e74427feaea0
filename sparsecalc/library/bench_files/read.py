"""Files of llama-bench, Ollama and mlx-lm: which tool wrote each, its rows, and what could not be read."""

from collections.abc import Iterator
from pathlib import Path

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import printable
from sparsecalc.core.user_files import read_user_file, text_of
from sparsecalc.library.bench_files.llama_bench import read_llama_bench, read_llama_bench_csv, read_llama_bench_table
from sparsecalc.library.bench_files.mlx_lm import read_mlx_lm
from sparsecalc.library.bench_files.ollama import read_ollama, read_ollama_verbose
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.read import LeftOut, json_values

LARGEST_FILE_BYTES = 4 * 2**20
MOST_FILES = 100
_HINT = "It takes llama-bench's json, jsonl, csv or table, Ollama's /api/generate or run --verbose, mlx-lm's lines"
OBJECTS = (read_llama_bench, read_ollama)
TEXTS = (read_llama_bench_csv, read_llama_bench_table, read_ollama_verbose, read_mlx_lm)


class BenchFiles(Frozen):
    """What such files hold."""

    rows: tuple[BenchRow, ...]
    left_out: tuple[LeftOut, ...]


def read_bench_files(names: list[str]) -> BenchFiles:
    """The rows of files. Raises InputError in one line: no such file, an empty one, one of no tool that is known."""
    if len(names) > MOST_FILES:
        raise InputError(f"{len(names)} files", hint=f"At most {MOST_FILES} are read at once")
    rows: list[BenchRow] = []
    left_out: list[LeftOut] = []
    for name in names:
        path = Path(name).expanduser()
        where = printable(str(path))
        text = text_of(read_user_file(path, LARGEST_FILE_BYTES, hint=_HINT), where, _HINT)
        found = [*_parts(text, where)]
        if not any(part is not None for _, part in found):
            raise InputError("not the result of a tool that is known", where=where, hint=_HINT)
        rows += [row for _, part in found for row in part or ()]
        left_out += [LeftOut(where=place, why="not a result") for place, part in found if part is None]
    usable = tuple(row for row in rows if not row.unusable)
    left_out += [LeftOut(where=row.where, why=f"{row.test.name}: {row.unusable}") for row in rows if row.unusable]
    return BenchFiles(rows=usable, left_out=tuple(left_out))


def _parts(text: str, where: str) -> Iterator[tuple[str, list[BenchRow] | None]]:
    """Each object of a JSON file, or the whole of any other, with its rows; None: no tool is known that wrote it."""
    if text.lstrip()[0] in "{[":
        for index, value in enumerate(json_values(text, where, _HINT), 1):
            place = f"{where}, entry {index}"
            read = (reader(value, place) for reader in OBJECTS) if isinstance(value, dict) else iter(())
            yield place, next((rows for rows in read if rows is not None), None)
        return
    yield where, next((rows for reader in TEXTS if (rows := reader(text, where)) is not None), None)
