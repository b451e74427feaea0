"""What the documents say is what the tool does; `pytest --update-snapshots` rewrites the generated parts."""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sparsecalc
from sparsecalc.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-snapshots"))


TRANSCRIPT = re.compile(
    r"<!-- (?:output|lines (\d+) to (\d+)|last (\d+) lines?) of: sparsecalc (.*?) -->\n```text\n(.*?)```", re.DOTALL
)
"""What a command prints on stdout, whole or some of its lines."""


@pytest.mark.parametrize(
    ("page", "fewest"), [(README, 1), (ROOT / "docs" / "tutorials.md", 10)], ids=["readme", "tutorials"]
)
def test_the_output_in_a_page_is_real(
    page: Path, fewest: int, quick_run: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    text, renewed, checked = page.read_text(), [], 0
    end = 0
    for found in TRANSCRIPT.finditer(text):
        done = quick_run(*found.group(4).split())
        assert done.rc == 0, done.stderr
        real = some_lines(done.stdout, *found.group(1, 2, 3))
        assert update(request) or found.group(5) == real, found.group(4)
        renewed += [text[end : found.start(5)], real]
        end, checked = found.end(5), checked + 1
    assert checked >= fewest
    if update(request):
        page.write_text("".join(renewed) + text[end:])


def some_lines(text: str, first: str | None, last: str | None, tail: str | None) -> str:
    """All lines, those from the first to the last, or so many at the end."""
    lines = text.splitlines(keepends=True)
    assert max(int(last or 0), int(tail or 0)) <= len(lines)
    return "".join(lines[-int(tail) :] if tail else lines[int(first) - 1 : int(last)] if first and last else lines)


def test_the_python_in_the_readme_gives_what_its_comments_say() -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert block
    scope: dict[str, Any] = {"sparsecalc": sparsecalc}
    checked = 0
    for line in block.group(1).splitlines():
        code, _, comment = (part.strip() for part in line.partition("#"))
        if comment:
            assert str(eval(code, scope)).startswith(comment.rstrip("."))
            checked += 1
        else:
            exec(code, scope)
    assert checked >= 4


def test_ci_runs_the_readmes_test_command() -> None:
    command = re.search(r"<!-- test command -->\n```bash\n(.*?)\n```", README.read_text())
    assert command
    assert command.group(1).endswith("./check")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()
    assert all(line in (ROOT / "check").read_text() for line in ("ruff check", "mypy", "pytest"))


def test_the_references_are_what_the_tool_writes(request: pytest.FixtureRequest) -> None:
    """docs/json.md from the documents, docs/commands.md from the commands: python tools/write_docs.py."""
    tool = [sys.executable, str(ROOT / "tools" / "write_docs.py")]
    done = subprocess.run([*tool, *([] if update(request) else ["--check"])], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_tool_sees_a_page_that_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = importlib.import_module("write_docs")
    page = tmp_path / "page.md"
    page.write_text("old")
    monkeypatch.setattr(tool, "PAGES", {page: lambda: "new"})
    assert tool.main(["--check"]) == 1
    assert page.read_text() == "old"
    assert tool.main([]) == 0
    assert page.read_text() == "new"
    assert tool.main(["--check"]) == 0


def test_the_references_cover_every_document_command_and_key() -> None:
    json_page, commands = (ROOT / "docs" / "json.md").read_text(), (ROOT / "docs" / "commands.md").read_text()
    for command in COMMANDS:
        assert f"## {command}\n" in json_page
        assert f"## {command}\n" in commands
    for key in (
        "`ttft_seconds` (number): ",
        "`prediction` ([Prediction](#prediction) or null): ",
        "`lines` (array of ",
    ):
        assert key in json_page
    assert "- `--format`, `-f` (text, default `table`): " in commands
    assert "- `MODELS` (text, one or more, required): " in commands


@pytest.mark.parametrize("path", [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"], ids=str)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link
