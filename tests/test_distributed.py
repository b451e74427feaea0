"""Two gloo ranks on this machine: layers that are split over ranks give what the whole layer gives."""

import json
import multiprocessing
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsecalc.core.errors import InputError
from sparsecalc.measure.calibrate.collectives import measure_collectives
from sparsecalc.measure.timing import ranks as distributed

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parent / "small_configs"
MODULE = distributed.__name__


def rank(number: int, environment: dict[str, str], folder: Path, arguments: list[str]) -> None:
    """One rank as torchrun starts it: its place in the environment, its exit code, its own stderr."""
    os.environ |= {**environment, "RANK": str(number), "LOCAL_RANK": str(number)}
    with (folder / f"stderr.{number}").open("w") as sys.stderr:
        code = distributed.main(arguments)
        sys.stderr.flush()
        os._exit(code)


def ranks(folder: Path, *arguments: object) -> tuple[list[int | None], list[str], Any]:
    """Exit codes and stderr of two ranks, and the document. A server that has imported torch once forks them."""
    out = folder / "ranks.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "HF_HUB_OFFLINE": "1"}
    asked = ["--device", "cpu", "--output", str(out), *map(str, arguments)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([MODULE])
    processes = [context.Process(target=rank, args=(place, env, folder, asked), daemon=True) for place in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    told = [(folder / f"stderr.{number}").read_text() for number in range(2)]
    return [process.exitcode for process in processes], told, json.loads(out.read_text()) if out.exists() else None


def config(folder: Path, family: str, **changes: Any) -> Path:
    path = folder / f"{family}.json"
    path.write_text(json.dumps(json.loads((CONFIGS / f"{family}.json").read_text())[0] | changes))
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("ranks")
    dense = config(folder, "llama", attention_bias=True, mlp_bias=True)
    sparse = config(folder, "qwen3_moe", num_experts=8, num_experts_per_tok=3)
    asked = ("--dense-model", dense, "--model", sparse, "--dtype", "fp32", "--tokens", "1,37", "--skew", "0,1.5")
    codes, stderr, document = ranks(folder, *asked)
    assert codes == [0, 0], stderr
    return document


def rows(found: Any, op: str) -> list[Any]:
    return [row for row in found["rows"] if row["op"] == op]


def test_collectives_give_rows(found: Any) -> None:
    for op in ("all_reduce", "all_to_all"):
        assert [row["bytes"] for row in rows(found, op)] == [2**13, 2**18, 2**22]
        assert all(row["ranks"] == 2 and row["seconds"] > 0 and len(row["samples"]) == 20 for row in rows(found, op))


def test_a_tensor_parallel_layer_is_the_whole_layer(found: Any) -> None:
    split = rows(found, "tensor_parallel_layer")
    assert [row["tokens"] for row in split] == [1, 37]
    assert all(row["relative_error"] < 1e-5 for row in split)


def test_parallel_experts_are_the_whole_module(found: Any) -> None:
    split = rows(found, "expert_parallel_moe")
    assert [(row["skew"], row["tokens"]) for row in split] == [(0.0, 1), (0.0, 37), (1.5, 1), (1.5, 37)]
    for row in split:
        assert row["relative_error"] < 1e-5
        assert sum(rank["pairs"] for rank in row["by_rank"]) == 2 * row["tokens"] * 3
        assert all(rank["distinct"] <= 4 for rank in row["by_rank"])
        assert row["straggler_seconds"] == max(rank["experts_seconds"] for rank in row["by_rank"])


def test_skew_loads_one_rank_as_expected(found: Any) -> None:
    uniform, skewed = (row for row in rows(found, "expert_parallel_moe") if row["tokens"] == 37)
    assert skewed["imbalance"] > uniform["imbalance"]
    assert skewed["expected_imbalance"] > uniform["expected_imbalance"]
    assert skewed["imbalance"] == pytest.approx(skewed["expected_imbalance"], rel=0.25)


def test_wrong_input_is_told_once(tmp_path: Path) -> None:
    odd = config(tmp_path, "mixtral", num_local_experts=5)
    codes, stderr, document = ranks(tmp_path, "--parts", "experts", "--model", odd, "--tokens", "2")
    assert codes == [2, 2]
    assert "".join(stderr).count("error: 5 experts do not divide over 2 ranks") == 1
    assert document is None


def test_names_and_numbers_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown model 'mixtral-9x9b'"):
        distributed._config("mixtral-9x9b")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        distributed._config(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match="is not a list of numbers"):
        distributed._numbers("1,x", int)
    with pytest.raises(InputError, match="too small"):
        distributed._numbers("0", int)
    with pytest.raises(InputError, match="unknown part 'colectives'"):
        distributed._measure(distributed._parser().parse_args(["--parts", "colectives"]), torch.device("cpu"))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_without_torchrun_it_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(sys, "argv", [MODULE])
    with pytest.raises(SystemExit, match="error: start it with torchrun"):
        runpy.run_module(MODULE, run_name="__main__")


def test_torchrun_measures_collectives_for_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert {row["op"] for row in measure_collectives(2)} == {"all_reduce", "all_to_all"}
