"""What the documents say is what the tool does; `pytest --update-snapshots` rewrites the generated parts."""

import re
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


def test_the_output_in_the_readme_is_real(quick_run: Callable[..., Any], request: pytest.FixtureRequest) -> None:
    text = README.read_text()
    found = re.search(r"<!-- output of: sparsecalc (.*?) -->\n```text\n(.*?)```", text, re.DOTALL)
    assert found
    real = quick_run(*found.group(1).split()).stdout
    if update(request):
        README.write_text(text[: found.start(2)] + real + text[found.end(2) :])
    else:
        assert found.group(2) == real


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


def test_every_command_is_in_the_reference(
    quick_run: Callable[..., Any], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/commands.md is each command's --help, as it is printed on 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    target = ROOT / "docs" / "commands.md"
    parts = ["# Commands\n"]
    for command in COMMANDS:
        shown = quick_run(command, "--help").stdout
        lines = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
        parts.append(f"## {command}\n\n```text\n{lines}\n```\n")
    text = "\n".join(parts)
    if update(request):
        target.write_text(text)
    else:
        assert target.read_text() == text


@pytest.mark.parametrize("path", [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"], ids=str)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link
