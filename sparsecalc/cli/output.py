"""Where results go: stdout, or a file that is never left half-written. Warnings go to stderr."""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from sparsecalc.core.errors import InputError
from sparsecalc.decide.report import Document
from sparsecalc.reports.formats import FORMATS, render


def check_target(output: str | None, name: str) -> None:
    """Fail before computing where the format is unknown or the file could not be written."""
    if name not in FORMATS:
        render_error = f"unknown format {name!r:.60}"
        raise InputError(render_error, hint=f"Known: {', '.join(FORMATS)}")
    if output and output != "-":
        target = Path(output)
        if target.is_dir():
            raise InputError(f"{output} is a folder", hint="Name a file")
        if not target.parent.is_dir():
            raise InputError(f"there is no folder {target.parent} to write to", hint="Create it first")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise InputError(f"{output} cannot be written", hint="Choose another place with -o FILE")


def emit(document: Document, name: str, output: str | None) -> None:
    """Write the document; its warnings to stderr, one line each."""
    to_terminal = not output and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if to_terminal else None
    text = render(document, name, width)
    for warn in document.warnings:
        print(f"note: {f'{warn.model}: ' if warn.model else ''}{warn.text}", file=sys.stderr)
    if output and output != "-":
        write_atomically(Path(output), text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def write_atomically(target: Path, text: str) -> None:
    """Write beside the target and move into place, so that the target is whole or absent."""
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
            Path(temporary).chmod(mode)
            Path(temporary).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror})", hint="Choose another place with -o") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
