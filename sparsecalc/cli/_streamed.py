"""Rows that go out while they are computed: to stdout or a file, until they end or somebody presses Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sparsecalc.cli._output import _ELSEWHERE
from sparsecalc.core.errors import InputError, SparsecalcError, reason_of
from sparsecalc.core.text import printable


class StoppedError(SparsecalcError):
    """Somebody pressed Ctrl-C; what was written is kept."""

    exit_code = 130


@contextmanager
def interrupted_between() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits until the result is called, so that rows stay whole; pressed again, it interrupts at once."""
    pressed = False

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def opened(output: str | None) -> Iterator[IO[bytes]]:
    """The file to write rows to, emptied; stdout where none is named. A reader that has seen enough is no failure."""
    if not output or output == "-":
        try:
            yield sys.stdout.buffer
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        file = Path(output).open("wb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        text = f"{printable(output)} cannot be written ({reason_of(error)})"
        raise InputError(text, hint=_ELSEWHERE) from error
    with file:
        yield file


@contextmanager
def counted_rows(count: int, to_terminal: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal and the rows go elsewhere."""
    if to_terminal or not sys.stderr.isatty():
        yield lambda more: None
        return
    from sparsecalc.reports.progress import counting_bar

    with counting_bar(count) as advance:
        yield advance
