"""`validate`: predictions beside the measurements that ship with the package."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, emit_as_asked, takes


@takes(OUTPUT)
def validate(
    write_docs: Annotated[
        bool,
        typer.Option(
            "--write-docs",
            help="write docs/accuracy.md in a checkout, or to the file that -o names, with every serving run and"
            " MLPerf's servers: minutes",
        ),
    ] = False,
    **given: Any,
) -> None:
    """How far predictions are from published measurements, by class of kernels, accelerator, engine and model."""
    from sparsecalc.decide.validate import validate as find

    if write_docs:
        _write_page(given["output"] or "docs/accuracy.md")
    else:
        emit_as_asked(given, find)


def _write_page(target: str) -> None:
    from sparsecalc.cli._output import check_target, write_atomically
    from sparsecalc.decide.validate import validate as find
    from sparsecalc.reports.accuracy_page import accuracy_page

    check_target(target, "markdown")
    path = Path(target)
    write_atomically(
        path, accuracy_page(find(whole=True), _devices(path.resolve().parent.parent / "bench" / "results"))
    )


def _devices(folder: Path) -> dict[str, str]:
    """The table of errors of every device in a checkout's bench/results, by the page's title."""
    tables = {}
    for page in sorted(folder.glob("*.md")):
        title, _, rest = page.read_text(encoding="utf-8").partition("\n")
        table = rest.partition("## |predicted / measured - 1|\n")[2].partition("\n## ")[0].strip()
        if table:
            tables[title.removeprefix("# ")] = table
    return tables
