"""`sweep`: tidy rows of every combination of what is varied."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sparsecalc.cli._options import DEVICES, LOAD, PARTS, SPECULATION, Batch, Batched, OutputLen, PromptLen, takes

STREAMED = ("csv", "jsonl", "parquet")
"""Formats that are written row by row."""
NAMED = {"ndjson": "jsonl", "md": "markdown"} | {name: name for name in (*STREAMED, "json", "html")}
"""Formats by the ending of a file's name."""


@takes(
    LOAD | {"batch_size": (Batch, None)},
    PARTS,
    DEVICES,
    {"prompt_len": (PromptLen, None), "output_len": (OutputLen, None), "max_num_batched_tokens": (Batched, None)},
    SPECULATION,
)
def sweep(
    models: Annotated[list[str], typer.Argument(help="one model or several")],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            help="an axis and its values: batch=1:1024:x2, context=4k,128k, gpu=h100,h200, tp=1,2, dtype=...",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="figures, a list, or all (default: those of a grid of show)")
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="i/n: every n-th point, those whose number is i modulo n")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option("--format", "-f", help="table, csv, jsonl, parquet, json,... (default: by -o's name, else table)"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="the same as --format json")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", help="write to this file instead of stdout")] = None,
    **given: Any,
) -> None:
    """Rows of every combination of models, layouts, formats, batch sizes and contexts, written as they come."""
    from sparsecalc.cli._output import check_target
    from sparsecalc.decide.sweep import sweep_plan

    name = "json" if json else format or _format_of(output)
    check_target(output, "csv" if name in STREAMED else name)
    plan = sweep_plan(models, [_axis(text) for text in vary or ()], _asked(given), _names(columns), shard)
    if name in STREAMED:
        _stream(plan, name, output)
    else:
        _whole(plan, name, output)


def _format_of(output: str | None) -> str:
    """By the name of the file; a table for others."""
    suffix = Path(output).suffix.lstrip(".").lower() if output else ""
    return NAMED.get(suffix, "table")


def _axis(text: str) -> tuple[str, str]:
    """`batch` and `1:1024:x2` of `batch=1:1024:x2`. Raises InputError without a `=`."""
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    name, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"--vary {brief(text)} names no values", hint="An axis and its values: --vary batch=1,8,64")
    return name, values


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """The other options as `ask` has them, without those that are not given."""
    from sparsecalc.decide.engine_words import plain

    defaults = DEVICES | SPECULATION
    told = {name: value for name, value in given.items() if value != defaults.get(name, (None, None))[1]}
    asked = plain({"context_len" if name == "context" else name: value for name, value in told.items()})
    if "calibration" in asked:
        asked.setdefault("gpu", "local")
    return asked


def _stream(plan: Any, name: str, output: str | None) -> None:
    """Rows as they come; the file is opened once there are any."""
    import sys

    from sparsecalc.cli._output import tell
    from sparsecalc.cli._streamed import StoppedError, counted_rows, interrupted_between, opened
    from sparsecalc.core.errors import InputError
    from sparsecalc.reports.row_writers import check_parquet, row_writer

    to_terminal = not output and sys.stdout.isatty()
    if name == "parquet":
        check_parquet()
        if to_terminal:
            raise InputError("parquet is a binary format, not for a terminal", hint="Write it to a file: -o FILE")
    blocks = plan.blocks()
    block, written = next(blocks, None), 0
    with opened(output) as out, counted_rows(plan.own_size, to_terminal) as advance, interrupted_between() as check:
        writer = row_writer(name, out, plan.columns)
        try:
            while block is not None:
                writer.write(block)
                written += block.count
                advance(block.count)
                check()
                block = next(blocks, None)
        except KeyboardInterrupt as error:
            raise StoppedError(f"interrupted after {written:,} of {plan.own_size:,} rows, which are kept") from error
        finally:
            writer.close()
    tell(plan.warnings())


def _whole(plan: Any, name: str, output: str | None) -> None:
    """The rows as one document."""
    from sparsecalc.cli._output import emit
    from sparsecalc.decide.sweep_report import sweep_report

    emit(sweep_report(plan), name, output)
