"""Tables and pages before any format: grids of formatted cells, and lines of text."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Grid:
    """A table: headers, rows of cells; the first column is left-aligned, the others right, unless `left` says more."""

    headers: list[str]
    rows: list[list[str]]
    title: str = ""
    left: int = 1


@dataclass(slots=True)
class View:
    """Grids in order, then sentences; `head` and `foot` are for formats that make a page or a screen of it."""

    grids: list[Grid] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    """Markdown that comes first on a page."""
    foot: list[str] = field(default_factory=list)
    """Sentences that end a screen, which a page has in its head."""
