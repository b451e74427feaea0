"""Fixtures: the command line as a user calls it, the same in-process, a valid config, a Hub on this machine.

Timings decide no test: Hypothesis measures none (one profile for all tests, no deadlines).
"""

import gc
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

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest has a worker per core: more threads only wait for each other
for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
    os.environ.pop(name, None)  # they colour help that is piped

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


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Tests that start processes of their own are slow."""
    for item in items:
        if "run" in item.fixturenames:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """What the imports made stays: the garbage collector need not look through torch again and again."""
    gc.collect()
    gc.freeze()


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

    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # as the installed command, not python -m pytest
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


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
def hub_env(hub: FakeHub, tmp_path: Path) -> dict[str, str | None]:
    """The environment in which huggingface_hub asks that Hub, with an empty cache."""
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "HF_HOME": str(tmp_path / "hf")}
    return {**own, **dict.fromkeys(("HF_HUB_CACHE", "HF_TOKEN", *PROXIES))}


@pytest.fixture
def hub_run(hub: FakeHub, quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`quick_run` that asks that Hub, with an empty cache: what `hub_env` says, to a library that is loaded already."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    for name in ("HF_TOKEN", *PROXIES):
        monkeypatch.delenv(name, raising=False)
    own = {"ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(tmp_path / "hf" / "hub")}
    own |= {"HF_TOKEN_PATH": str(tmp_path / "hf" / "token")}
    own |= {"HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}"}
    for name, value in own.items():
        monkeypatch.setattr(constants, name, value)
    close_session()
    yield quick_run
    close_session()


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of this device's peaks takes no time: no test looks at its figures."""
    from sparsecalc.measure.calibrate import benchmark, local_device

    small = {"PROBE_SECONDS": 0.01, "PROBE_BYTES": 2**14, "PROBE_SIDE": 128}
    for name, value in small.items():
        monkeypatch.setattr(local_device, name, value)
    monkeypatch.setattr(benchmark, "last_level_cache_bytes", lambda device: 2**14)
