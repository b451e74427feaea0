"""What stands around the code: the Hypothesis profile, hooks, the workflow, issue forms, CITATION.cff."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(*parts: str) -> Any:
    return yaml.safe_load(ROOT.joinpath(*parts).read_text())


def pinned(package: str) -> str:
    """The version in constraints.txt."""
    (version,) = re.findall(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return str(version)


# --- tests --------------------------------------------------------------------------------------------------------


def test_no_time_limit_fails_a_property() -> None:
    """On a loaded machine an example may take any time; one profile says so, for all tests."""
    assert settings.get_current_profile_name() == "sparsecalc"
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
    assert settings().print_blob
    own = [path.name for path in (ROOT / "tests").glob("**/*.py") if re.search(r"\bdeadline=\S+\)", path.read_text())]
    assert own == [], "deadlines are set in conftest.py"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """`check` beside tools that only write down how they are called; mypy finds a fault where a file `fault` lies."""
    (tmp_path / "check").write_bytes((ROOT / "check").read_bytes())
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("ruff", "mypy", "python"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >> log\n[ {name} != mypy ] || [ ! -e fault ]\n')
        (tools / name).chmod(0o755)
    return tmp_path


BEFORE = ["ruff format --check .", "ruff check .", "mypy"]


@pytest.mark.parametrize(
    ("arguments", "tests"),
    [
        ([], "python -m pytest -n auto --dist worksteal"),
        (["-k", "gemma"], "python -m pytest -n auto --dist worksteal -k gemma"),
        (["--fast"], "python -m pytest -n auto --dist worksteal -m not slow"),
        (["--fast", "-k", "gemma"], "python -m pytest -n auto --dist worksteal -m not slow -k gemma"),
    ],
)
def test_check_runs_everything_and_hands_its_arguments_to_pytest(
    arguments: list[str], tests: str, checkout: Path
) -> None:
    subprocess.run(["bash", checkout / "check", *arguments], check=True)
    assert (checkout / "log").read_text().splitlines() == [*BEFORE, tests]


def test_check_stops_at_the_first_fault(checkout: Path) -> None:
    (checkout / "fault").touch()
    assert subprocess.run(["bash", checkout / "check"]).returncode == 1
    assert (checkout / "log").read_text().splitlines() == BEFORE


def test_slow_tests_are_marked(request: pytest.FixtureRequest) -> None:
    (marker,) = [line for line in request.config.getini("markers") if line.startswith("slow")]
    assert "./check --fast" in marker
    slow = {path.stem for path in (ROOT / "tests").glob("test_*.py") if "mark.slow" in path.read_text()}
    assert {"test_architecture", "test_packaging"} <= slow


def test_everything_that_the_tests_install_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(name for extra in extras.values() for name in extra)]
    for name in (re.split(r"[>\[]", wish)[0] for wish in wanted):
        assert name == PROJECT["name"] or re.search(
            rf"^{name.replace('-', '[-_]')}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE | re.IGNORECASE
        ), name


# --- hooks and the workflow ---------------------------------------------------------------------------------------


def test_hooks_run_what_check_runs() -> None:
    ruff, local = read(".pre-commit-config.yaml")["repos"]
    assert ruff["repo"] == "https://github.com/astral-sh/ruff-pre-commit"
    assert ruff["rev"] == f"v{pinned('ruff')}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    (mypy,) = local["hooks"]
    assert (local["repo"], mypy["entry"], mypy["pass_filenames"]) == ("local", "mypy", False)


def test_the_workflow_runs_the_readmes_test_command() -> None:
    workflow = read(".github", "workflows", "check.yml")
    (job,) = workflow["jobs"].values()
    assert {"push", "pull_request"} <= set(workflow[True]), "YAML 1.1 reads the key `on` as true"
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    (extraction,) = re.findall(r"^command=.*$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    script = f'{extraction}\nprintf %s "$command"'
    found = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    told = re.search(
        r"Set up, and pass the tests:\n.*?```bash\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert told
    assert found.stdout == told.group(1)


# --- forms and facts about the project ----------------------------------------------------------------------------

INPUTS = {"input", "textarea", "dropdown", "checkboxes"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_is_needed(path: Path) -> None:
    """Fields as GitHub's form schema has them; each form asks for command, version, output, config and expectation."""
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    assert all(field["type"] in INPUTS for field in form["body"])
    assert all(field["attributes"]["label"] for field in form["body"])
    fields = {field["id"]: field for field in form["body"]}
    assert len(fields) == len(form["body"])
    assert {"command", "version", "output", "config", "expected"} <= set(fields)
    required = {name for name, field in fields.items() if field.get("validations", {}).get("required")}
    assert {"command", "version", "output"} <= required
    text = path.read_text()
    assert "--json" in text
    assert "--version" in text
    assert "source" in text


def test_there_is_a_form_for_each_kind_of_report() -> None:
    assert [yaml.safe_load(path.read_text())["name"] for path in FORMS] == [
        "A model cannot be read",
        "A number is wrong",
    ]
    assert read(".github", "ISSUE_TEMPLATE", "config.yml") == {"blank_issues_enabled": True}


def test_the_citation_has_what_cff_requires() -> None:
    """Citation File Format 1.2.0: cff-version, message, title and authors are required; an entity has a name."""
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith(PROJECT["name"])
    assert citation["authors"] == PROJECT["authors"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert "doi" not in citation
