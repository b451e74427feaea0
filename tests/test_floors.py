"""The house keeps its shape: imports go down and never in circles, heavy packages have one door each, class names stand
once, files and functions stay short.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

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
    "measure": 7,
    "api": 7,
    "cli": 8,
    "__init__": 9,
    "__main__": 9,
}

DOORS = {
    "torch": "sparsecalc/measure/",
    "transformers": "sparsecalc/measure/",
    "rich": "sparsecalc/reports/",
    "huggingface_hub": "sparsecalc/library/hub.py",
    "gguf": "nowhere: it writes the files of the tests",
    "typer": "sparsecalc/cli/",
    "click": "nowhere: typer carries its own",
}

LONGEST_FILE = 330
LONGEST_FUNCTION = 50
LONGEST_95_PERCENT = 28
"""Lines, a function's docstring among them."""


@cache
def parsed(source: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(source)))


def part_of(path: str) -> str:
    """The package or module right under sparsecalc/: `sparsecalc/core/ops.py` is core's."""
    return path.split("/")[1].removesuffix(".py")


def imported(source: str) -> Iterator[str]:
    """Dotted names of all imports, wherever they stand; `from a import b` yields a.b."""
    for node in parsed(source):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their package in full"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def upward(path: str, source: str) -> list[str]:
    """Imports of a floor that is not below, other packages of the same floor among them."""
    own = part_of(path)
    names = []
    for name in imported(source):
        first, _, rest = name.partition(".")
        if first != "sparsecalc":
            continue
        other = rest.partition(".")[0]
        if other != own and FLOORS.get(other, 99) >= FLOORS[own]:
            names.append(name)
    return names


def wrong_doors(path: str, source: str) -> list[str]:
    tops = {name.partition(".")[0] for name in imported(source)}
    return sorted(top for top in tops if top in DOORS and not path.startswith(DOORS[top]))


def circle(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other in a circle, if any; imports in functions and for types alone count."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name if name in modules else name.rpartition(".")[0] for name in imported(sources[path])}
        graph[module] = (names & modules.keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def twins(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Class names that stand in more than one place, or twice in one."""
    places: dict[str, list[str]] = {}
    for path, source in sources.items():
        for node in parsed(source):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def asks_for_attributes(path: str, source: str) -> int:
    """Calls of hasattr outside cli/ and measure/, which meet objects of other packages."""
    calls = [node for node in parsed(source) if isinstance(node, ast.Call)]
    asked = sum(isinstance(call.func, ast.Name) and call.func.id == "hasattr" for call in calls)
    return 0 if part_of(path) in ("cli", "measure") else asked


def function_lengths(source: str) -> dict[str, int]:
    """Lines of each function, by its name and first line."""
    functions = [node for node in parsed(source) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {f"{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}


def share_within(lengths: list[int], most: int) -> float:
    return sum(length <= most for length in lengths) / len(lengths)


def test_imports_only_go_down() -> None:
    assert {path: names for path, source in SOURCES.items() if (names := upward(path, source))} == {}


def test_heavy_packages_have_one_door() -> None:
    assert {path: tops for path, source in SOURCES.items() if (tops := wrong_doors(path, source))} == {}


def test_no_imports_in_a_circle() -> None:
    assert circle(SOURCES) == []


def test_a_class_name_stands_once() -> None:
    assert twins(SOURCES) == {}


def test_types_say_what_a_part_has() -> None:
    assert {path: count for path, source in SOURCES.items() if (count := asks_for_attributes(path, source))} == {}


def test_files_and_functions_stay_short() -> None:
    files = {path: source.count("\n") for path, source in SOURCES.items()}
    assert {path: lines for path, lines in files.items() if lines > LONGEST_FILE} == {}
    lengths = {path: function_lengths(source) for path, source in SOURCES.items()}
    assert [(path, name) for path, own in lengths.items() for name in own if own[name] > LONGEST_FUNCTION] == []
    every = [length for own in lengths.values() for length in own.values()]
    assert share_within(every, LONGEST_95_PERCENT) >= 0.95


def test_every_part_has_a_floor() -> None:
    assert {part_of(path) for path in SOURCES} == set(FLOORS)


def test_the_checks_see_imports() -> None:
    inside = "def f():\n    from sparsecalc.decide.compare import show\n    import torch.nn\n"
    assert upward("sparsecalc/read/config.py", inside) == ["sparsecalc.decide.compare.show"]
    assert upward("sparsecalc/decide/explain.py", inside) == []
    assert upward("sparsecalc/reports/views/verify.py", "import sparsecalc.measure.architecture.meta_model") != []
    assert upward("sparsecalc/core/ops.py", "from sparsecalc.data_files import read_data") != []
    assert upward("sparsecalc/library/models.py", "from sparsecalc import api") != []
    assert wrong_doors("sparsecalc/read/config.py", inside) == ["torch"]
    assert wrong_doors("sparsecalc/measure/architecture.py", inside) == []


def test_the_checks_see_circles() -> None:
    one = "def f():\n    from sparsecalc.core.two import x\n"
    two = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sparsecalc.core import one\n"
    straight = {"sparsecalc/core/one.py": one, "sparsecalc/core/two.py": "import math\n"}
    assert circle(straight) == []
    assert set(circle({**straight, "sparsecalc/core/two.py": two})) == {"sparsecalc.core.one", "sparsecalc.core.two"}
    root = {"sparsecalc/__init__.py": "from sparsecalc.api import load\n", "sparsecalc/api.py": "import sparsecalc\n"}
    assert set(circle(root)) == {"sparsecalc", "sparsecalc.api"}


def test_the_checks_see_twins_and_hasattr() -> None:
    step = "class Step: ...\n"
    assert twins({"a.py": step, "b.py": "class Other: ...\n"}) == {}
    assert twins({"a.py": step, "b.py": f"def f():\n    {step}"}) == {"Step": ["a.py", "b.py"]}
    assert asks_for_attributes("sparsecalc/model/part.py", "hasattr(part, 'x') or hasattr(part, 'y')") == 2
    assert asks_for_attributes("sparsecalc/measure/part.py", "hasattr(part, 'x')") == 0


def test_the_checks_see_lengths() -> None:
    source = "class A:\n    def f(self):\n        'Told.'\n\n        x = 1\n    async def g(self): ...\n"
    assert function_lengths(source) == {"f:2": 4, "g:6": 1}
    assert share_within([1, 2, 3, 40], 3) == 0.75
