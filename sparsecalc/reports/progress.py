"""A progress bar for long commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(count: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr with the name of what is under way; call the result with each name."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=count)
        done = -1

        def step(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, description=name)

        yield step


@contextmanager
def counting_bar(count: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr of so many things, of which many are done at once; call the result with how many."""
    columns = (BarColumn(), MofNCompleteColumn(separator=" / "), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda more: bar.update(task, advance=more)
