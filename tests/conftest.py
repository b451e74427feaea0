"""Fixtures: the command line as a user calls it, the same in-process, a valid config, a Hub on this machine.

Timings decide no test: Hypothesis measures none (one profile for all tests, no deadlines).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, serve
from hypothesis import HealthCheck, settings

from sparsecalc.data_files import read_data

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker per core: more threads only wait for each other

settings.register_profile(
    "sparsecalc",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("sparsecalc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-snapshots", action="store_true", help="rewrite tests/snapshots from today's output")


@dataclass(frozen=True)
class Result:
    """What a call of the command line left: exit code, stdout, stderr."""

    rc: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Call `sparsecalc` in its own process, without a network; `env` adds or (None) removes variables."""

    def call(
        *args: object,
        stdin: str | bytes = b"",
        env: dict[str, str | None] | None = None,
        program: tuple[str, ...] = ("-m", "sparsecalc"),
        cwd: Path = tmp_path,
    ) -> Result:
        wanted = {**os.environ, "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "SPARSECALC_DATA": None, **(env or {})}
        found = subprocess.run(
            [sys.executable, *program, *map(str, args)],
            capture_output=True,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            env={key: value for key, value in wanted.items() if value is not None},
            cwd=cwd,
            timeout=120,
        )
        return Result(found.returncode, found.stdout.decode(), found.stderr.decode())

    return call


@pytest.fixture
def quick_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The same without a process of its own: for the many cases where start-up and environment do not matter."""
    from sparsecalc.cli.main import main

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("SPARSECALC_DEBUG", raising=False)
    monkeypatch.delenv("SPARSECALC_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["sparsecalc", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return call


@pytest.fixture(scope="session")
def mixtral_config() -> dict[str, Any]:
    """Mixtral-8x7B's own config, without what this package says about it. Copy before you change it."""
    return bare("mixtral-8x7b")


def bare(name: str) -> dict[str, Any]:
    """A built-in spec's config."""
    return {key: value for key, value in read_data(f"model_specs/{name}.json").items() if key != "sparsecalc"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub on this machine."""
    with serve() as found:
        yield found


@pytest.fixture
def hub_env(hub: FakeHub, tmp_path: Path) -> dict[str, str | None]:
    """The environment in which huggingface_hub asks that Hub, with an empty cache."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": None,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": None,
        "HF_TOKEN": None,
        "HTTP_PROXY": None,
        "HTTPS_PROXY": None,
        "ALL_PROXY": None,
        "http_proxy": None,
        "https_proxy": None,
        "all_proxy": None,
    }
