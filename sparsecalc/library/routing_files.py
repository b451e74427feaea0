"""Routing by name, or from a file of how many tokens each expert got.

Files, as JSON: a list of counts; [layers][experts]; [steps][layers][experts]; or such a list as `counts`, `shares` or
`logical_count` of an object. As CSV: a count per line; expert,count; layer,expert,count (what is not listed is 0, what
is listed twice is added up). Both are what SGLang writes: its CSV of `layer_id,expert_id,count`, and `logical_count` of
its expert distribution recorder (python/sglang/srt/eplb/expert_distribution.py), which is a torch file and is converted
with one line. vLLM has no such file of its own; its counts are [layers][experts] too. Layers without any count, the
dense ones, are left out.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.routing import Routing
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.core.user_files import json_of, read_user_file, text_of

LARGEST_FILE_BYTES = 64 * 2**20
LARGEST_COUNT = 1e18
MOST_EXPERTS = 2**16
MOST_LAYERS = 10_000
_FORMS = "uniform, zipf:1.0, dirichlet:0.5, or a file of counts (JSON or CSV)"
_FILE_HINT = "A file of counts is a JSON list [layers][experts], or CSV lines of layer,expert,count"
_RANGES = {"exponent": (0.0, 10.0), "concentration": (0.05, 1e6), "correlation": (1e-6, 1.0)}
_KEYS = ("counts", "logical_count", "shares")
_PARAMETER = {"zipf": "exponent", "dirichlet": "concentration"}

Rows = list[list[float]]


def load_routing(text: str, num_experts: int | None = None) -> Routing:
    """The routing that `text` means: `uniform`, `zipf:S`, `dirichlet:A`, or a file; perhaps `,correlation=C` after it.

    Raises InputError, in one clear line, where it means none, or the file is not of `num_experts` experts.
    """
    form, correlation = _split(text.strip())
    kind, colon, value = form.lower().partition(":")
    if os.path.lexists(form) or _looks_like_a_path(form):
        rows = _shares(_read(Path(form), num_experts or 0), form, num_experts)
        return Routing(kind="measured", shares=rows, correlation=correlation, source=printable(form))
    if kind == "uniform" and not colon:
        return Routing(correlation=correlation)
    if kind in _PARAMETER and not value:
        raise InputError(f"{kind} needs its {_PARAMETER[kind]}", hint=f"For example {kind}:0.5")
    if kind == "zipf":
        return Routing(kind="zipf", exponent=_number(value, "exponent"), correlation=correlation)
    if kind == "dirichlet":
        return Routing(kind="dirichlet", concentration=_number(value, "concentration"), correlation=correlation)
    suggestion = did_you_mean(kind, ["uniform", *_PARAMETER])
    raise InputError(f"unknown routing {brief(form)}", hint=f"Known: {_FORMS}{suggestion}")


def _split(text: str) -> tuple[str, float]:
    """What comes before the options, and the correlation; a comma in the name of a file that exists is part of it."""
    if os.path.lexists(text):
        return text, 1.0
    form, *options = text.split(",")
    correlation = 1.0
    for option in options:
        key, _, value = option.partition("=")
        if key.strip() != "correlation":
            hint = "The only option is correlation, as in zipf:1.2,correlation=0.5" + did_you_mean(key, ["correlation"])
            raise InputError(f"unknown option {brief(option)} of the routing", hint=hint)
        correlation = _number(value, "correlation")
    return form, correlation


def _looks_like_a_path(form: str) -> bool:
    return os.sep in form or form.endswith((".json", ".csv", ".pt", ".txt"))


def _number(text: str, name: str) -> float:
    low, high = _RANGES[name]
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"the {name} of the routing is {brief(text)}", hint="It must be a number") from error
    if not low <= value <= high:
        raise InputError(f"the {name} of the routing is {value:g}", hint=f"It must be from {low:g} to {high:g}")
    return value


def _read(path: Path, num_experts: int) -> Rows:
    """Counts of the file, a row per layer; a CSV that names only some experts is filled up to `num_experts`."""
    where = printable(str(path))
    if path.suffix == ".pt" and path.is_file():
        raise _torch_file(where)
    content = read_user_file(path, LARGEST_FILE_BYTES, hint=f"Routing is {_FORMS}")
    text = text_of(content, where, _FILE_HINT).strip()
    return _from_json(text, where) if text[0] in "[{" else _from_csv(text, where, num_experts)


def _torch_file(where: str) -> InputError:
    convert = (
        'python -c \'import json, sys, torch; print(json.dumps(torch.load(sys.argv[1], map_location="cpu")'
        '["logical_count"].sum(0).tolist()))\' FILE.pt > counts.json'
    )
    return InputError("a torch file", where=where, hint=f"Convert it: {convert}")


def _from_json(text: str, where: str) -> Rows:
    counts = json_of(text, where, _FILE_HINT)
    if isinstance(counts, dict):
        key = next((key for key in _KEYS if key in counts), None)
        if key is None:
            raise InputError(f"has none of {', '.join(_KEYS)}", where=where, hint=_FILE_HINT)
        counts = counts[key]
    depth = _depth(counts)
    if not 1 <= depth <= 3:
        raise InputError("not a list of counts", where=where, hint=_FILE_HINT)
    if depth < 3:
        return _counts([counts] if depth == 1 else counts, where)
    if len({tuple(map(len, step)) for step in counts}) > 1:
        raise InputError("its steps differ in layers or experts", where=where, hint=_FILE_HINT)
    steps = [_counts(step, where) for step in counts]
    return [[sum(expert) for expert in zip(*layer, strict=True)] for layer in zip(*steps, strict=True)]


def _depth(value: Any) -> int:
    """How deep lists are nested, the same everywhere down to three levels; 0 where they are not."""
    depth, level = 0, [value]
    while level and all(isinstance(item, list) for item in level) and depth < 4:
        depth, level = depth + 1, [inner for item in level for inner in item]
    return 0 if any(isinstance(item, list) for item in level) else depth


def _from_csv(text: str, where: str, num_experts: int) -> Rows:
    try:
        lines = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"not CSV ({printable(str(error), 80)})", where=where, hint=_FILE_HINT) from error
    if lines and not _is_number(lines[0][-1]):
        lines = lines[1:]
    width = len(lines[0]) if lines else 0
    if width not in (1, 2, 3) or any(len(row) != width for row in lines):
        raise InputError("its lines are not all of 1, 2 or 3 numbers", where=where, hint=_FILE_HINT)
    if width == 1:
        return _counts([[row[0] for row in lines]], where)
    counts: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    places = [(_index(layer[0], where) if layer else 0, _index(expert, where)) for *layer, expert, _ in lines]
    (values,) = _counts([[row[-1] for row in lines]], where)
    for (layer, expert), value in zip(places, values, strict=True):
        counts[layer][expert] += value
    size = max(num_experts, 1 + max(expert for layer in counts.values() for expert in layer))
    return [[experts[e] for e in range(size)] for _, experts in sorted(counts.items())]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _index(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) < 9 and int(cell) < MOST_EXPERTS):
        raise InputError(f"{brief(cell)} is not the number of a layer or an expert", where=where, hint=_FILE_HINT)
    return int(cell)


@cache
def _validator() -> Callable[[list[list[Any]]], Rows]:
    """pydantic's check of counts, made where a file is read."""
    from pydantic import BeforeValidator, Field, TypeAdapter

    number = Field(ge=0, le=LARGEST_COUNT, allow_inf_nan=False)
    return TypeAdapter(list[list[Annotated[float, BeforeValidator(_no_flag), number]]]).validate_python


def _no_flag(value: Any) -> Any:
    """True is not 1."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _counts(rows: list[list[Any]], where: str) -> Rows:
    """Counts: numbers from 0 to 1e18, also as CSV writes them. Raises InputError, naming what is none."""
    try:
        return _validator()(rows)
    except ValueError as error:
        (row, column), wrong = error.errors()[0]["loc"][:2], error.errors()[0]["input"]  # type: ignore[attr-defined]
        text = f"{brief(wrong)} is not a count (row {row}, place {column})"
        raise InputError(text, where=where, hint="Counts are numbers from 0 to 1e18") from error


def _shares(rows: Rows, form: str, num_experts: int | None) -> tuple[tuple[float, ...], ...]:
    """Shares by layer; all layers have the same experts, and layers without a count are left out."""
    where = printable(form)
    sizes = {len(row) for row in rows}
    if len(sizes) != 1 or len(rows) > MOST_LAYERS or not 0 < max(sizes) <= MOST_EXPERTS:
        raise InputError("its layers are not all of the same experts", where=where, hint=_FILE_HINT)
    size = sizes.pop()
    if num_experts is not None and size != num_experts:
        hint = "A layer's counts are one per routed expert"
        raise InputError(f"counts of {size} experts, and the model has {num_experts}", where=where, hint=hint)
    counted = [row for row in rows if sum(row) > 0]
    if not counted:
        raise InputError("all counts are 0", where=where, hint="Record while the model serves tokens")
    return tuple(tuple(count / sum(row) for count in row) for row in counted)
