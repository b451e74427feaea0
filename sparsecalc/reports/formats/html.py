"""HTML: one page that needs nothing else: tables, sentences and warnings, and a heat map of experts' loads."""

from collections.abc import Iterator
from html import escape

from sparsecalc.core.text import printable
from sparsecalc.documents.base import Document
from sparsecalc.reports.view import Grid
from sparsecalc.reports.views import view_of

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
.l { text-align: left; }
aside { color: #666; font-size: 13px; }
svg { display: block; margin: 1rem 0; max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } th, td { border-color: #444; } }
""".strip()
CELL, COLUMNS = 12, 64
"""Side of a heat map's cell in pixels, and cells in a line."""


def write(document: Document, width: int | None = None) -> str:
    """The document's view as a page; whatever names and notes hold shows as it stands."""
    view = view_of(document)
    title = _text(f"sparsecalc {document.command}")
    parts = [f"<h1>{title}</h1>", *(f"<p>{_text(line)}</p>" for line in view.answer), *map(_table, view.grids)]
    if view.heat_map:
        parts.append(_heat_map(view.heat_map))
    parts += [f"<p>{_text(line)}</p>" for line in (*view.lines, *view.foot)]
    parts += [f"<aside>{_text(f'{note.code}: {note.with_model}')}</aside>" for note in document.warnings]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _text(text: str) -> str:
    return escape(printable(text, 10_000))


def _table(grid: Grid) -> str:
    head = "".join(_cell("th", index, cell, grid.left) for index, cell in enumerate(grid.headers))
    rows = ("".join(_cell("td", index, cell, grid.left) for index, cell in enumerate(row)) for row in grid.rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _cell(tag: str, index: int, text: str, left: int) -> str:
    side = ' class="l"' if index < left else ""
    return f"<{tag}{side}>{_text(text)}</{tag}>"


def _heat_map(loads: list[list[float]]) -> str:
    """Experts as cells, a line for each layer (or lines of 64), the darker the more tokens an expert gets."""
    lines = loads if len(loads) > 1 else [loads[0][at : at + COLUMNS] for at in range(0, len(loads[0]), COLUMNS)]
    most = max(map(max, loads))
    cells = "".join(_cells(lines, most))
    width, height = CELL * max(map(len, lines)), CELL * len(lines)
    label = f"load of each expert, from 0 to {most:.2f}x the mean"
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<figure><svg {box} role="img" aria-label="{label}">{cells}</svg><figcaption>{label}</figcaption></figure>'


def _cells(lines: list[list[float]], most: float) -> Iterator[str]:
    for row, line in enumerate(lines):
        for column, load in enumerate(line):
            share = load / most if most else 0.0
            place = f'x="{CELL * column}" y="{CELL * row}" width="{CELL - 1}" height="{CELL - 1}"'
            yield f'<rect {place} fill="hsl(12 80% {95 - 60 * share:.0f}%)"><title>{load:.2f}x</title></rect>'
