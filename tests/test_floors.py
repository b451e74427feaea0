"""The house keeps its shape: imports only go down, heavy packages have one door each, files stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparsecalc

PACKAGE = Path(sparsecalc.__file__).parent
SOURCES = {str(path.relative_to(PACKAGE.parent)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}

FLOORS = {
    "core": 0,
    "data_files": 0,
    "model": 1,
    "device": 1,
    "read": 2,
    "library": 3,
    "techniques": 3,
    "estimate": 4,
    "documents": 5,
    "decide": 6,
    "reports": 6,
    "reports": 6,
    "measure": 7,
    "api": 7,
    "cli": 8,
    "__init__": 9,
    "__main__": 9,
}

DOORS = {
    "torch": "sparsecalc/measure/",
    "transformers": "sparsecalc/measure/",
    "rich": "sparsecalc/reports/terminal.py",
    "huggingface_hub": "sparsecalc/library/hub.py",
    "gguf": "sparsecalc/library/gguf.py",
    "typer": "sparsecalc/cli/",
    "click": "nowhere: typer carries its own",
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def part_of(path: str) -> str:
    """The package or module right under sparsecalc/: `sparsecalc/core/ops.py` is core's."""
    return path.split("/")[1].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Dotted names of all imports, wherever they stand; `from a import b` yields a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their package in full"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def upward(path: str, source: str) -> list[str]:
    """Imports of a floor that is not below, other packages of the same floor among them."""
    own = part_of(path)
    found = []
    for name in imported(source):
        first, _, rest = name.partition(".")
        if first != "sparsecalc":
            continue
        other = rest.partition(".")[0]
        if other != own and FLOORS.get(other, 99) >= FLOORS[own]:
            found.append(name)
    return found


def wrong_doors(path: str, source: str) -> list[str]:
    tops = {name.partition(".")[0] for name in imported(source)}
    return sorted(top for top in tops if top in DOORS and not path.startswith(DOORS[top]))


def long_functions(source: str) -> list[str]:
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION]


@pytest.mark.parametrize("path", SOURCES)
def test_imports_only_go_down(path: str) -> None:
    assert upward(path, SOURCES[path]) == []


@pytest.mark.parametrize("path", SOURCES)
def test_heavy_packages_have_one_door(path: str) -> None:
    assert wrong_doors(path, SOURCES[path]) == []


@pytest.mark.parametrize("path", SOURCES)
def test_files_and_functions_stay_short(path: str) -> None:
    assert len(SOURCES[path].splitlines()) <= LONGEST_FILE
    assert long_functions(SOURCES[path]) == []


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in SOURCES} <= set(FLOORS)


def test_the_checks_see_what_they_look_for() -> None:
    inside = "def f():\n    from sparsecalc.decide.compare import show\n    import torch.nn\n"
    assert upward("sparsecalc/read/config.py", inside) == ["sparsecalc.decide.compare.show"]
    assert upward("sparsecalc/decide/explain.py", inside) == []
    assert upward("sparsecalc/reports/views.py", "import sparsecalc.measure.counts.architecture") != []
    assert upward("sparsecalc/core/ops.py", "from sparsecalc.data_files import read_data") != []
    assert upward("sparsecalc/library/models.py", "from sparsecalc import api") != []
    assert wrong_doors("sparsecalc/read/config.py", inside) == ["torch"]
    assert wrong_doors("sparsecalc/measure/architecture.py", inside) == []
    assert long_functions("def f():\n" + "    pass\n" * LONGEST_FUNCTION) == ["f"]
