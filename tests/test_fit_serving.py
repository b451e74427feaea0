"""Servers' profiles: what tools/fit_serving.py fits, the bands that it learns, and eager mode."""

import sys
from collections.abc import Iterator
from math import log
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import Run

from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.published import is_measure, serving_report_rows, serving_rows
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_ids, engine_profile
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import COPIES, ELSEWHERE, DeviceModel
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import BAND, Step, step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model, model_ids

SERVERS = ("vllm", "sglang", "trtllm")
TOOLS = Path(__file__).parent.parent / "tools"


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    sys.path.insert(0, str(TOOLS))
    import fit_serving

    yield fit_serving
    sys.path.remove(str(TOOLS))


def synthetic(tool: ModuleType, step: float, sequence: float, stacks: int = 12, noise: float = 0.0) -> Any:
    """Runs of a server with known constants, whose stacks err by a factor each."""
    rng = np.random.default_rng(0)
    runs = object.__new__(tool.Runs)
    count = stacks * 20
    runs.rows = [{} for _ in range(count)]
    runs.kernels = rng.uniform(1e-3, 20e-3, count)
    runs.steps, runs.sequences = np.ones(count), rng.choice([1.0, 8.0, 64.0, 256.0], count)
    runs.stack = np.repeat([f"stack {place}" for place in range(stacks)], 20)
    runs.engine, runs.kind = np.full(count, "vllm"), np.full(count, "dense")
    runs.spread = np.full(count, 0.1)
    off = np.repeat(np.exp(noise * rng.standard_normal(stacks)), 20)
    runs.measured = (runs.kernels + step + sequence * runs.sequences) * off
    return runs


def test_the_fit_recovers_known_constants(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prior too wide to matter, from exact rows."""
    monkeypatch.setattr(tool, "PULL", np.array([1.0, 1e-2]))
    runs = synthetic(tool, 1.7e-3, 9e-6)
    assert tool.fitted(runs, np.ones(len(runs.rows), bool)) == pytest.approx([1.7e-3, 9e-6], rel=0.01)


def test_the_prior_holds_what_no_row_tells(tool: ModuleType) -> None:
    runs = synthetic(tool, 1.7e-3, 9e-6)
    none = np.zeros(len(runs.rows), bool)
    assert tool.fitted(runs, none) == pytest.approx(tool.START)
    drawn = tool.fitted(runs, ~none)
    assert tool.START[0] < drawn[0] < 1.7e-3


def test_a_factor_makes_bands_hold_what_it_says(tool: ModuleType) -> None:
    rng = np.random.default_rng(1)
    errors, spread = 0.3 * rng.standard_normal(5000), np.full(5000, 0.1)
    factor = tool.factor_for(errors, spread, np.ones(5000))
    assert np.mean(abs(errors) <= BAND * factor * spread) == pytest.approx(tool.COVERED, abs=0.002)
    assert factor == pytest.approx(3.0, rel=0.1)


def test_stacks_left_out_are_covered(tool: ModuleType) -> None:
    """Errors between stacks are twice what the kernels say: the bands of stacks never seen hold about as often."""
    runs = synthetic(tool, 1e-3, 4e-6, stacks=120, noise=0.2)
    use = np.ones(len(runs.rows), bool)
    errors = runs.errors(tool.START)
    inside = tool.left_out_coverage(runs, errors, use)
    assert 0.75 <= inside.mean() <= 0.9


def test_profiles_of_servers_are_fitted_and_say_so() -> None:
    entries = {entry["id"]: entry for entry in read_data("engines.json")["engines"]}
    for name in SERVERS:
        assert "tools/fit_serving.py" in entries[name]["source"]
        assert 0 < entries[name]["sequence_seconds"] < 1e-4 < entries[name]["step_seconds"] < 1e-2
        assert {row["gpu"] for row in serving_rows()} == set(entries[name]["measured_on"])


def test_stacks_left_out_are_reported_by_engine_and_kind() -> None:
    found = read_data("measurements/serving_left_out.json")
    rows = {group["group"]: group for group in found["groups"]}
    assert found["source"] == "tools/fit_serving.py"
    assert rows["all"]["rows"] == sum(is_measure(row) and row["dp"] == 1 for row in serving_rows())
    assert rows["dense"]["rows"] + rows["mixture of experts"]["rows"] == rows["all"]["rows"]
    assert rows["all"]["median_error"] <= 0.1
    for group in found["groups"]:
        if group["rows"] >= 150 or "reports" in group["group"]:
            assert 0.7 <= group["coverage"] <= 0.96, group


def test_users_reports_name_their_source_and_are_of_known_things() -> None:
    rows, known = serving_report_rows(), set(model_ids())
    assert len(rows) >= 25
    for row in rows:
        assert row["source"]
        assert row["settings"]
        assert row["model"] in known
        assert row["engine"] in engine_ids()
        assert load_accelerator(row["gpu"]).id == row["gpu"]
        assert 0 < row["tpot_seconds"] < 1


def step_of(device: DeviceModel, model: str, batch: int = 1, plan: Placement | None = None) -> Step:
    spec = load_model(model).spec
    return step_time(spec, Workload.decode(1024, batch), precision_for(spec, "bf16"), device, plan)


def eager(device: DeviceModel) -> DeviceModel:
    return device.but(engine=device.engine.in_eager_mode())


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_eager_mode_takes_what_python_needs_for_each_kernel(engine: str) -> None:
    """A small model waits for Python; of a large one the device is busy meanwhile."""
    device = device_model(load_accelerator("h100-sxm"), engine)
    small, slow = step_of(device, "qwen3-1.7b"), step_of(eager(device), "qwen3-1.7b")
    launches = sum(time.kernel.launches * time.kernel.layers for time in small.times)
    assert slow.seconds > 2 * small.seconds
    assert slow.seconds <= small.seconds + device.engine.eager_launch_seconds * launches
    large = [float(step_of(each, "llama-2-70b", 256, Placement(tp=2)).seconds) for each in (device, eager(device))]
    assert log(large[1] / large[0]) < 0.2


def test_engines_without_a_python_loop_have_no_eager_mode() -> None:
    device = device_model(load_accelerator("rtx-4090"), "llama.cpp")
    assert step_of(eager(device), "qwen3-1.7b").seconds == step_of(device, "qwen3-1.7b").seconds


def test_bands_are_wider_where_nothing_was_measured() -> None:
    seen, unseen = (engine_profile("vllm", load_accelerator(gpu)) for gpu in ("h100-sxm", "l4"))
    assert unseen.spread_factor("dense") == seen.spread_factors[ELSEWHERE] > seen.spread_factor("dense")
    assert seen.spread_factor("dense", pp=2) == seen.spread_factors[ELSEWHERE]
    assert seen.spread_factor("ssm") == seen.spread_factors[ELSEWHERE]
    assert seen.spread_factor("moe", dp=4) == seen.spread_factors[COPIES]
    assert engine_profile("llama.cpp").spread_factor("dense") == 1
    assert engine_profile("vllm").spread_factor("dense") == 1


@pytest.mark.parametrize("command", ["show", "simulate"])
def test_eager_mode_reaches_the_times_of_a_loaded_server(quick_run: Run, command: str) -> None:
    """--enforce-eager as users give it, through the replay."""
    words = (command, "qwen3-1.7b", "--gpu", "h100-sxm", "--engine", "vllm", "--concurrency", "4", "--format", "json")
    times = []
    for more in ((), ("--enforce-eager",)):
        document = quick_run(*words, *more).json
        model = document.get("models", [document])[0]
        found = model["simulation"] if command == "simulate" else model["prediction"]["serving"]
        times.append(found["tpot_seconds"]["mean"] if command == "simulate" else found["tpot_seconds"])
    assert times[1] > 2 * times[0]
