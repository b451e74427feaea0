"""Files that a user names: read up to a limit, parsed, and every failure told in one line."""

import json
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.text import printable


def read_user_file(path: Path, largest_bytes: int, *, hint: str, missing: str = "no such file") -> bytes:
    """The whole file. `missing` says what is absent, `hint` what to do about that or about a file that is too large.

    Raises InputError in one line: no such file, one that cannot be read, one of more than `largest_bytes`.
    """
    where = printable(str(path))
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(largest_bytes + 1)
    except FileNotFoundError as error:
        raise InputError(f"{missing}: {where}", hint=hint) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"cannot be read ({printable(reason_of(error), 80)})", where=where) from error
    check_size(content, where, largest_bytes, hint)
    return content


def check_size(content: bytes, where: str, largest_bytes: int, hint: str) -> None:
    """Raise InputError where `content` is more than `largest_bytes`."""
    if len(content) > largest_bytes:
        raise InputError(f"more than {largest_bytes:,} bytes", where=where, hint=hint)


def text_of(content: bytes, where: str, hint: str) -> str:
    """Text in UTF-8, with or without a byte order mark. Raises InputError where it is none, or empty."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=where, hint=hint) from error
    if not text.strip():
        raise InputError("the file is empty", where=where, hint=hint)
    return text


def json_of(text: str, where: str, hint: str) -> Any:
    """Any JSON value. Raises InputError for what is not JSON, or nested more deeply than Python's parser reads."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError("nested too deeply", where=where, hint=hint) from error
    except ValueError as error:
        raise InputError(f"not JSON ({printable(str(error), 80)})", where=where, hint=hint) from error


def json_object(content: bytes, where: str, hint: str) -> dict[str, Any]:
    """A JSON object in UTF-8. Raises InputError in one line where `content` is anything else."""
    value = json_of(text_of(content, where, hint), where, hint)
    if not isinstance(value, dict):
        raise InputError("not a JSON object", where=where, hint=hint)
    return value
