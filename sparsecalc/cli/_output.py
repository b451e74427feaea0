"""Where results go: stdout, or a file that is never left half-written. Warnings go to stderr."""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.formats import find_format, render

_ELSEWHERE = "Choose another place with -o FILE"


def check_target(output: str | None, name: str) -> None:
    """Fail before computing where the format is unknown or cannot be shown, or the file could not be written."""
    is_binary = find_format(name).binary
    if not output or output == "-":
        if is_binary and sys.stdout.isatty():
            raise InputError(f"{name} is a binary format, not for a terminal", hint="Write it to a file: -o FILE")
        return
    target = Path(output)
    try:
        is_folder, exists = target.is_dir(), target.exists()
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error
    if is_folder:
        raise InputError(f"{output} is a folder", hint="Name a file")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent} to write to", hint="Create it first")
    if not os.access(target if exists else target.parent, os.W_OK):
        raise InputError(f"{output} cannot be written", hint=_ELSEWHERE)


def emit(document: Document, name: str, output: str | None) -> None:
    """Write the document; its warnings to stderr, one line each."""
    to_terminal = not output and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if to_terminal else None
    content = render(document, name, width)
    tell(document.warnings)
    if output and output != "-":
        write_atomically(Path(output), content)
    else:
        _print(content)


MOST_ALIKE = 8
"""Warnings of one kind that are told one by one."""


def tell(notes: Sequence[Note]) -> None:
    """Warnings on stderr, a line each; of very many of one kind the first ones, and how many more there are."""
    seen: dict[str, int] = {}
    for note in notes:
        seen[note.code] = seen.get(note.code, 0) + 1
        if seen[note.code] <= MOST_ALIKE:
            print(f"note: {printable(note.with_model, 2000)}", file=sys.stderr)
    for code, count in seen.items():
        if count > MOST_ALIKE:
            print(f"note: {count - MOST_ALIKE:,} more of this kind ({code}); --json lists all", file=sys.stderr)


def _print(content: str | bytes) -> None:
    """To stdout; a reader that has seen enough (`| head`) is no failure."""
    try:
        if isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_atomically(target: Path, content: str | bytes) -> None:
    """Write beside the target and move into place, so that the target is whole or as it was.

    A link is followed; a device or a pipe is written to, since it cannot be replaced. Text is written as UTF-8.
    Raises InputError where the target cannot be written.
    """
    data = content if isinstance(content, bytes) else content.encode()
    try:
        target = target.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(target, data)
    except (OSError, RuntimeError) as error:
        raise _unwritable(target, error) from error


def _replace(target: Path, data: bytes) -> None:
    """A new file in the place of the target, with its permissions."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _unwritable(target: Path, error: Exception) -> InputError:
    return InputError(f"{printable(str(target))} cannot be written ({reason_of(error)})", hint=_ELSEWHERE)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
