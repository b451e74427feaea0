"""Rows that are written as they come: CSV, JSON lines and Parquet, whole rows at a time."""

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Protocol, get_args, get_type_hints

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.documents.sweep import SweepRow

if TYPE_CHECKING:
    from numpy import ndarray

ROWS_OF_A_GROUP = 2**17
"""Rows that a group of a Parquet file has at least, but for the last."""


class Rows(Protocol):
    """A block of rows: for each column a plain value or an array that broadcasts to `shape`."""

    @property
    def columns(self) -> dict[str, Any]:
        """Columns by name."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the rows; their order is that of the flattened array."""


class RowWriter(Protocol):
    """Writes blocks of rows."""

    def write(self, rows: Rows) -> None:
        """Write a block, so that whoever reads the output sees it."""

    def close(self) -> None:
        """Write what ends the output."""


class TextRows:
    """Lines of text, a row each: a cell's text is made once for each value of the array that it comes from."""

    def __init__(self, out: IO[bytes], columns: Sequence[str], *, as_json: bool) -> None:
        self.out, self.columns = out, list(columns)
        self.cell: Callable[[Any], str] = json_cell if as_json else csv_cell
        self.ends = ("{", "}") if as_json else ("", "")
        self.heads = [f"{json.dumps(name)}: " if as_json else "" for name in self.columns]
        self.between = ", " if as_json else ","
        if not as_json:
            self._send(",".join(self.columns) + "\n")

    def write(self, rows: Rows) -> None:
        """Write a block and flush it."""
        cells = [self._texts(rows, at) for at in range(len(self.columns))]
        first, last = self.ends
        lines = map(self.between.join, zip(*cells, strict=True))
        self._send("".join(f"{first}{line}{last}\n" for line in lines))

    def _texts(self, rows: Rows, at: int) -> list[str]:
        """The cells of a column, one for each row."""
        import numpy as np

        head, values = self.heads[at], np.asarray(rows.columns[self.columns[at]])
        texts = [head + self.cell(each) for each in values.ravel().tolist()]
        if values.shape == rows.shape:
            return texts
        spread: list[str] = np.broadcast_to(np.array(texts, object).reshape(values.shape), rows.shape).ravel().tolist()
        return spread

    def _send(self, text: str) -> None:
        self.out.write(text.encode())
        self.out.flush()

    def close(self) -> None:
        """Nothing ends such a file."""


def csv_cell(value: Any) -> str:
    """A cell of CSV: nothing for None, text in quotes where it must be."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value, 1000)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"') else text


def json_cell(value: Any) -> str:
    """A value of JSON. Raises ValueError for a number that is not finite."""
    return json.dumps(value, allow_nan=False)


class ParquetRows:
    """A Parquet file, written group by group; `close` writes the end without which nobody can read it."""

    def __init__(self, out: IO[bytes], columns: Sequence[str]) -> None:
        """Raises InputError where pyarrow is missing."""
        self.arrow = _pyarrow()
        arrow = self.arrow
        kinds = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), str: arrow.string()}
        hints = get_type_hints(SweepRow)
        self.schema = self.arrow.schema([(name, kinds[_plain(hints[name])]) for name in columns])
        self.writer = import_module("pyarrow.parquet").ParquetWriter(out, self.schema)
        self.waiting: list[Any] = []

    def write(self, rows: Rows) -> None:
        """Keep a block, and write those kept once they make a group."""
        columns = [_flat(rows, name) for name in self.schema.names]
        batch = self.arrow.Table.from_arrays(
            [self.arrow.array(each, each_type) for each, each_type in zip(columns, self.schema.types, strict=True)],
            schema=self.schema,
        )
        self.waiting.append(batch)
        if sum(table.num_rows for table in self.waiting) >= ROWS_OF_A_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self.waiting:
            self.writer.write_table(self.arrow.concat_tables(self.waiting).combine_chunks())
            self.waiting = []

    def close(self) -> None:
        """Write the rows that wait, and the end."""
        self._write_group()
        self.writer.close()


def _flat(rows: Rows, name: str) -> "ndarray[Any, Any] | list[Any]":
    """A column as one value for each row; a list where some have none."""
    import numpy as np

    values = np.asarray(rows.columns[name])
    flat = np.broadcast_to(values, rows.shape).ravel()
    return flat.tolist() if values.dtype.kind in "OU" else flat


def _plain(hint: Any) -> type:
    """`float` of `float | None`."""
    kinds: list[type] = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    return kinds[0]


def check_parquet() -> None:
    """Raise InputError where Parquet cannot be written."""
    _pyarrow()


def _pyarrow() -> Any:
    """The package that writes Parquet. Raises InputError where it is missing."""
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise InputError("Parquet needs pyarrow", hint='Install it: pip install "sparsecalc[parquet]"') from error


def row_writer(name: str, out: IO[bytes], columns: Sequence[str]) -> RowWriter:
    """The writer of a format: csv, jsonl or parquet."""
    return ParquetRows(out, columns) if name == "parquet" else TextRows(out, columns, as_json=name == "jsonl")
