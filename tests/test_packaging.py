"""The wheel carries all data and runs outside the checkout; the suite itself runs on the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sparsecalc
from sparsecalc.data_files import data_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def call(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    wanted = {**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})}
    found = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=wanted, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it but the unpacked wheel."""
    folder = tmp_path_factory.mktemp("installed")
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile"]
    call(sys.executable, *pip, "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_all_data_and_sources(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    data = {f"sparsecalc/data/{path.relative_to(ROOT / 'data')}" for path in (ROOT / "data").rglob("*.json")}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "sparsecalc").rglob("*.py")}
    assert {name for name in inside if name.startswith("sparsecalc/data/")} == data
    assert {name for name in inside if name.endswith(".py")} == sources
    assert len([name for name in data if name.startswith("sparsecalc/data/model_specs/")]) >= 97
    assert "sparsecalc/py.typed" in inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    outside = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert outside == {"sparsecalc"}, "nothing else lands in site-packages"


def test_the_wheel_does_the_main_job_elsewhere(installed: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(installed)}
    where = "import sparsecalc.data_files as d; print(d.__file__, d.data_folder())"
    module, data = call(sys.executable, "-c", where, cwd=tmp_path, env=env).split()
    assert Path(module) == installed / "sparsecalc" / "data_files.py"
    assert Path(data) == installed / "sparsecalc" / "data"
    job = (sys.executable, "-m", "sparsecalc", "compare", "mixtral-8x7b", "llama-70b")
    text = call(*job, "--json", cwd=tmp_path, env=env)
    totals = [model["params"]["total"] for model in json.loads(text)["models"]]
    assert totals == [46702792704, 68976648192]
    assert "1.48x" in call(*job, cwd=tmp_path, env=env)


def test_the_wheel_installs_the_command(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin" / "sparsecalc"
    assert command.read_text().count("sparsecalc.cli.entry") == 1
    env = {"PYTHONPATH": str(installed)}
    assert "46702792704" in call(sys.executable, command, "show", "mixtral-8x7b", "--json", cwd=tmp_path, env=env)


def test_the_suite_runs_on_the_checkout() -> None:
    assert Path(sparsecalc.__file__).parent == ROOT / "sparsecalc"
    assert data_folder() == ROOT / "data"


def test_an_editable_install_runs_from_anywhere(tmp_path: Path) -> None:
    text = call(sys.executable, "-m", "sparsecalc", "show", "mixtral-8x7b", "--json", cwd=tmp_path)
    assert json.loads(text)["params"]["total"] == 46702792704
