"""Write docs/json.md from the documents, docs/commands.md from the commands and docs/engine-memory.md from logs.

python tools/write_docs.py [--check]

With --check nothing is written, and the exit code is 1 where a page differs from what would be.
"""

import ast
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from inspect import Parameter, getsource, signature
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

import sparsecalc.documents
from sparsecalc.cli.main import COMMANDS
from sparsecalc.core.components import COMPONENTS, Component
from sparsecalc.data_files import read_data
from sparsecalc.decide.desk_errors import by_device, by_engine, by_kind, left_out_checks
from sparsecalc.decide.desk_host import offload_checks
from sparsecalc.decide.desk_logs import desk_logs
from sparsecalc.decide.engine_logs import engine_logs
from sparsecalc.decide.error_groups import by_group
from sparsecalc.documents.base import Document
from sparsecalc.reports.desk_page import desk_page
from sparsecalc.reports.engine_memory_page import engine_memory_page

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 120
RETURNED = {
    "show": ["ShowReport"],
    "compare": ["CompareReport"],
    "simulate": ["SimulateReport"],
    "plan": ["PlanReport"],
    "explain": ["ExplainReport", "StepReport"],
    "models": ["ListReport"],
    "gpus": ["ListReport"],
    "routing": ["RoutingReport"],
    "crossover": ["CrossoverReport"],
    "dense-equivalent": ["EquivalenceReport"],
    "fit": ["FitReport"],
    "sweep": ["SweepReport"],
    "finetune": ["FinetuneReport"],
    "verify": ["VerifyReport"],
    "profile": ["ProfileReport", "SparseKernelReport"],
    "calibrate": ["CalibrationReport"],
    "bench": ["BenchReport"],
    "validate": ["ValidateReport"],
    "import": ["ImportReport"],
}
"""The documents that each command returns."""

JSON_HEAD = """\
# JSON

Written by `python tools/write_docs.py` from the documents' own definitions; do not edit.

`--format json` (`--json`) prints one document, `--format jsonl` its rows, an object to a line; `--format csv` prints
the same rows, with dotted names for nested keys and without lists. Results go to stdout or to `-o FILE`, everything
else to stderr.

Keys are stable within a `schema_version`; more may be added. Keys that end in `_bytes` are in bytes, `_seconds` in
seconds, those that begin with `usd` in US dollars; counts are in units, shares from 0 to 1. Integers are exact, and
other numbers have full precision.

Exit codes: 0 done, 1 a known failure (`verify` found a difference), 2 bad usage or input, 130 interrupted.
"""

COMMANDS_HEAD = """\
# Commands

Written by `python tools/write_docs.py` from the commands' own help; do not edit. `sparsecalc COMMAND --help` (`-h`)
prints the same, `sparsecalc --version` the version.

A MODEL is a built-in id or alias (`sparsecalc models`), a config.json, a folder that holds one, `-` for stdin, a .gguf
file or `org/name` on the Hub. After its name, `+int4` or `+experts=mxfp4` sets the format of the weights, and `+2:4` or
`+heads=0.5` applies a technique of sparsity ([techniques.md](techniques.md)). In lists of numbers, `k` stands for 1024:
`4k,32k`.
"""


def documents() -> dict[str, type[Document]]:
    """Every document of the package by the name of its class."""
    names = [f"sparsecalc.documents.{module.name}" for module in iter_modules(sparsecalc.documents.__path__)]
    for name in names:
        import_module(name)
    return {cls.__name__: cls for cls in Document.__subclasses__() if cls.__module__ in names}


# --- docs/json.md -------------------------------------------------------------------------------------------------


def json_page() -> str:
    """A section for every document by its command, then one for every object that is nested in them."""
    known = documents()
    assert list(RETURNED) == list(COMMANDS), "RETURNED names every command, in the order of COMMANDS"
    assert {name for names in RETURNED.values() for name in names} == set(known), "every document is returned"
    nested = [cls for cls in nested_in([Document, *known.values()]) if not issubclass(cls, Document)]
    parts = [JSON_HEAD, "## Every document\n", *keys(Document, Document, nested)]
    for command, names in RETURNED.items():
        parts.append(f"\n## {command}\n")
        for name in names:
            parts += document_section(known[name], nested)
    parts.append("\n## Objects\n")
    for cls in sorted(nested, key=lambda cls: cls.__name__):
        parts += [f"\n### {cls.__name__}\n", f"{prose(cls.__doc__)}\n", *keys(cls, cls, nested)]
    parts += ["\n### Component\n", paragraph(f"Keys of objects by component: {', '.join(COMPONENTS)}.")]
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def document_section(cls: type[Document], nested: list[type]) -> Iterator[str]:
    """What a document is, what its rows are, and its own keys; those of a nested object by reference."""
    yield paragraph(f"**{cls.__name__}**: {prose(cls.__doc__)}") + "\n"
    rows = prose(cls.to_rows.__doc__.partition("\n\n")[0])  # type: ignore[union-attr]
    yield paragraph(f"As rows: {rows[0].lower()}{rows[1:]}") + "\n"
    base = next((base for base in cls.__mro__[1:] if base in nested), None)
    if base is None:
        yield from keys(cls, Document, nested)
    else:
        yield f"All keys of {link(base)}."
        yield from keys(cls, base, nested)
    yield ""


def keys(cls: type, shared: type, nested: list[type]) -> Iterator[str]:
    """A bullet for each key of a class that `shared` and `Document` do not have."""
    left_out = set() if cls is shared else {field.name for base in (shared, Document) for field in fields(base)}
    hints, told = get_type_hints(cls), attribute_docstrings(cls)
    for field in fields(cls):
        if field.name not in left_out:
            assert field.name in told, f"{cls.__name__}.{field.name} has no docstring"
            yield bullet(f"`{field.name}` ({in_words(hints[field.name], nested)}): {prose(told[field.name])}")


def attribute_docstrings(cls: type) -> dict[str, str]:
    """The strings under a class's fields and under those of its bases."""
    told: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            (node,) = ast.parse(textwrap.dedent(getsource(base))).body
            assert isinstance(node, ast.ClassDef)
            for field, text in zip(node.body, node.body[1:], strict=False):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(docstring))):
                        told[name] = docstring
    return told


def nested_in(classes: list[type]) -> list[type]:
    """The dataclasses that stand in fields of these, at any depth."""
    found: dict[type, None] = {}
    todo = list(classes)
    while todo:
        for hint in get_type_hints(todo.pop()).values():
            new = [cls for cls in parts_of(hint) if is_dataclass(cls) and cls not in found]
            found.update(dict.fromkeys(new))
            todo += new
    return list(found)


def parts_of(hint: Any) -> Iterator[Any]:
    """A type and those that it is made of."""
    yield hint
    if get_origin(hint) is not Literal:
        for part in get_args(hint):
            yield from parts_of(part)


def in_words(hint: Any, nested: list[type]) -> str:
    """A type as JSON has it."""
    plain = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null", Any: "any value"}
    if hint in plain:
        return plain[hint]
    if hint in nested:
        return link(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        members = [in_words(part, nested) for part in arguments if part is not int or float not in arguments]
        return " or ".join(members)
    if origin is list:
        return f"array of {plural(arguments[0], nested)}"
    assert origin is dict, hint
    if arguments[1] is Any:
        return "object"
    by = " by [component](#component)" if arguments[0] == Component else ""
    return f"object of {plural(arguments[1], nested)}{by}"


def plural(hint: Any, nested: list[type]) -> str:
    """The type of a list's members, or of an object's values."""
    word = in_words(hint, nested)
    first, _, rest = word.partition(" ")
    return word if hint in nested or get_origin(hint) is Literal else f"{first}s {rest}".strip()


def link(cls: type) -> str:
    return f"[{cls.__name__}](#{cls.__name__.lower()})"


def prose(docstring: str | None) -> str:
    """The paragraphs of a docstring; `None` is JSON's null, and what would be HTML shows as it stands."""
    assert docstring
    text = " ".join(textwrap.dedent(docstring).split())
    return text.replace("None", "null").replace("<", "\\<")


def paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def bullet(text: str) -> str:
    return paragraph(f"- {text}", "  ")


# --- docs/commands.md ---------------------------------------------------------------------------------------------


def commands_page() -> str:
    """A section for every command: what it does, an example, its arguments and options."""
    return "\n".join([COMMANDS_HEAD, *(part for command in COMMANDS for part in command_section(command))])


def command_section(command: str) -> Iterator[str]:
    place, example = COMMANDS[command]
    module, name = place.split(".")
    function: Callable[..., None] = getattr(import_module(f"sparsecalc.cli.{module}"), name)
    documents = " or ".join(f"[{each}](json.md#{command})" for each in RETURNED[command])
    yield f"## {command}\n"
    yield paragraph(f"{prose(function.__doc__)} In JSON: {documents}.") + "\n"
    yield f"```bash\nsparsecalc {example}\n```\n"
    for parameter in signature(function).parameters.values():
        yield option(parameter)
    yield ""


def option(parameter: Parameter) -> str:
    """An argument or option: its names, type, default and help."""
    kind, told = get_args(parameter.annotation)[:2]
    if isinstance(told, ArgumentInfo):
        names = [told.metavar or parameter.name.upper()]
    else:  # in an annotation, typer takes the first name for the default
        names = [name for name in (told.default, *(told.param_decls or ())) if isinstance(name, str)]
        names = sorted(names, key=lambda name: not name.startswith("--")) or [f"--{parameter.name.replace('_', '-')}"]
    shown = ", ".join(f"`{name}`" for name in names)
    return bullet(f"{shown} ({value_of(kind)}{default_of(parameter)}): {prose(told.help)}")


def value_of(kind: Any) -> str:
    words = {str: "text", int: "integer", float: "number", bool: "flag"}
    several = ", one or more" * any(get_origin(part) is list for part in parts_of(kind))
    choice = next((part for part in parts_of(kind) if isinstance(part, type) and issubclass(part, Enum)), None)
    if choice:
        return "one of " + ", ".join(f"`{each.value}`" for each in choice)
    return next(words[part] for part in parts_of(kind) if part in words) + several


def default_of(parameter: Parameter) -> str:
    if parameter.default is Parameter.empty:
        return ", required"
    return "" if parameter.default is None or parameter.default is False else f", default `{parameter.default}`"


def desk_errors_page() -> str:
    """docs/desk.md."""
    checks = left_out_checks()
    groups = {
        "By phase and kind of model": by_group(checks, by_kind),
        "By engine and backend": by_group(checks, by_engine),
        "By device": by_group(checks, by_device),
        "A part in host memory": by_group(offload_checks(), by_kind),
    }
    return desk_page(groups, read_data("desk_engines.json")["engines"], read_data("desk_anchor.json")["left_out"])


PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "json.md": json_page,
    DOCS / "commands.md": commands_page,
    DOCS / "engine-memory.md": lambda: engine_memory_page(engine_logs(), desk_logs()),
    DOCS / "desk.md": desk_errors_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check name those that differ."""
    changed = {
        path: text
        for path, make in PAGES.items()
        if (text := make()) != (path.read_text(encoding="utf-8") if path.exists() else "")
    }
    for path, text in changed.items():
        if "--check" in arguments:
            print(f"{path.name} is not what tools/write_docs.py writes")
        else:
            path.write_text(text, encoding="utf-8")
    return int("--check" in arguments and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
