"""The header of a GGUF file: metadata and the list of tensors, nothing of their data.

Layout: ggml-org/ggml docs/gguf.md. Every length is held against the bytes that are left before anything is read, so
that no file makes the reader wait or fill memory; of the tokenizer only the number of tokens is kept.
"""

import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.read.stored.file_types import ggml_types

MAGIC = b"GGUF"
VERSIONS = (2, 3)
WINDOW_BYTES = 2**20
MOST_KEYS = 2**16
MOST_TENSORS = 2**20
MOST_ENTRIES = 2**24
"""Strings of one array; more than any vocabulary has."""
LONGEST_NAME = 2**16
LONGEST_KEPT = 2**16
"""Bytes of a string, and entries of an array, whose value is kept."""
MOST_DIMENSIONS = 4
MOST_ELEMENTS = 2**50
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of the header; `shape` as GGUF has it: the row's length first."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data: whole blocks, as each row is."""
        _, elements, size = ggml_types()[self.kind]
        return self.elements // elements * size


@dataclass(slots=True)
class Header:
    """Metadata by key, lengths of the arrays that are not kept, and all tensors."""

    meta: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    tensors: list[TensorInfo] = field(default_factory=list)


def read_header(path: Path) -> Header:
    """The header of one GGUF file, of either byte order, with or without the data behind it.

    Raises InputError, with the file's name, for whatever is not a GGUF header of version 2 or 3.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).header()
    except _HeaderError as error:
        raise InputError(f"not a readable GGUF file ({error})", where=str(path), hint="Is it complete?") from error


class _HeaderError(Exception):
    """What is wrong with a header."""


class _Reader:
    """A window of the file that moves forward only."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size
        self.window, self.at, self.start = b"", 0, 0
        self.order = "<"

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size - self.start - self.at

    def header(self) -> Header:
        """Everything up to the tensors' data."""
        if self.size < 4 or self.take(4) != MAGIC:
            raise _HeaderError("it does not begin with GGUF")
        version = self.number("I")
        if version & 0xFFFF == 0:
            self.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in VERSIONS:
            raise _HeaderError(f"version {version}; known are 2 and 3")
        tensors, keys = self.number("Q"), self.number("Q")
        self.expect(tensors, 24, MOST_TENSORS, "tensors")
        self.expect(keys, 13, MOST_KEYS, "keys")
        found = Header()
        for _ in range(keys):
            self.entry(found)
        found.tensors = [self.tensor() for _ in range(tensors)]
        if len({tensor.name for tensor in found.tensors}) != len(found.tensors):
            raise _HeaderError("two tensors have the same name")
        return found

    def expect(self, count: int, least_bytes: int, most: int, what: str) -> None:
        """Refuse a count that the rest of the file cannot hold, or that no model has."""
        if count * least_bytes > self.left or count > most:
            raise _HeaderError(f"it claims {count:,} {what}, {self.left:,} bytes are left")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise _HeaderError(f"it ends within its header: {count:,} bytes are wanted, {self.left:,} are left")
        if self.at + count > len(self.window):
            self.start += self.at
            self.file.seek(self.start)
            self.window, self.at = self.file.read(max(WINDOW_BYTES, count)), 0
            if len(self.window) < count:
                raise _HeaderError("it ends within its header")
        self.at += count
        return self.window[self.at - count : self.at]

    def skip(self, count: int) -> None:
        """Pass over bytes without reading them."""
        if count > self.left:
            raise _HeaderError(f"it ends within its header: {count:,} bytes are wanted, {self.left:,} are left")
        self.at += count
        if self.at > len(self.window):
            self.start, self.window, self.at = self.start + self.at, b"", 0

    def number(self, code: str) -> Any:
        """One number, by its code in `struct`."""
        code = self.order + code
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def text(self, longest: int = LONGEST_NAME) -> str:
        """A string; empty where it is longer than what is kept."""
        length = self.number("Q")
        if length > longest:
            self.skip(length)
            return ""
        return self.take(length).decode("utf-8", "replace")

    def entry(self, found: Header) -> None:
        """One key with its value."""
        key, kind = self.text(), self.number("I")
        if kind == _ARRAY:
            self.array(key, found)
        elif kind == _STRING:
            found.meta[key] = self.text(LONGEST_KEPT)
        else:
            found.meta[key] = self.number(_code(kind))

    def array(self, key: str, found: Header) -> None:
        """An array: short ones of numbers are kept, of others the length."""
        kind, count = self.number("I"), self.number("Q")
        found.lengths[key] = count
        if kind == _STRING:
            self.expect(count, 8, MOST_ENTRIES, f"entries of {brief(key)}")
            self.skip_strings(count)
            return
        size = struct.calcsize("<" + _code(kind))
        self.expect(count, size, self.size, f"entries of {brief(key)}")
        if count > LONGEST_KEPT:
            self.skip(count * size)
        else:
            found.meta[key] = list(struct.unpack(f"{self.order}{count}{_code(kind)}", self.take(count * size)))

    def skip_strings(self, count: int) -> None:
        """Pass over `count` strings."""
        unpack = struct.Struct(self.order + "Q").unpack_from
        for _ in range(count):
            if self.at + 8 > len(self.window):
                self.take(8)
                self.at -= 8
            length = unpack(self.window, self.at)[0]
            self.at += 8
            if self.at + length <= len(self.window):
                self.at += length
            else:
                self.skip(length)

    def tensor(self) -> TensorInfo:
        """One tensor's name, shape and type; where its data lie is of no use here."""
        name, dimensions = self.text(), self.number("I")
        if not 0 < dimensions <= MOST_DIMENSIONS:
            raise _HeaderError(f"tensor {brief(name)} has {dimensions:,} dimensions")
        shape = tuple(self.number("Q") for _ in range(dimensions))
        number = self.number("I")
        self.number("Q")
        kind = next((kind for kind, entry in ggml_types().items() if entry[0] == number), None)
        if kind is None:
            raise _HeaderError(f"tensor {brief(name)} has type {number}, which ggml does not know")
        if not 0 < prod(shape) <= MOST_ELEMENTS or shape[0] % ggml_types()[kind][1]:
            raise _HeaderError(f"tensor {brief(name)} of type {kind} has the shape {brief(list(shape))}")
        return TensorInfo(name, kind, shape)


def _code(kind: int) -> str:
    """How `struct` names a type of metadata."""
    if kind not in _SCALARS:
        raise _HeaderError(f"a key has type {kind}, which GGUF does not know")
    return _SCALARS[kind]
