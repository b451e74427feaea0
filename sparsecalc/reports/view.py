"""What people read of a document before any format: tables of formatted cells, and sentences."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Grid:
    """A table: headers, and rows of cells. The first `left` columns are aligned left, the others right."""

    headers: list[str]
    rows: list[list[str]]
    left: int = 1


@dataclass(slots=True)
class View:
    """An answer, tables in order, then sentences; what is only for some formats stands in fields of its own."""

    grids: list[Grid] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    """Paragraphs of Markdown that open a Markdown page."""
    answer: list[str] = field(default_factory=list)
    """Sentences before the tables: what was asked for."""
    foot: list[str] = field(default_factory=list)
    """Lines that end a screen or an HTML page; a Markdown page leaves them out."""
    heat_map: list[list[float]] = field(default_factory=list)
    """Loads of experts over the mean, a row for each layer, which an HTML page draws."""
