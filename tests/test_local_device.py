"""The device at hand as an accelerator: `--gpu local`, `--calibration`, and the model that `profile` predicts with."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run
from test_profile import asked, run, small

from sparsecalc.core.errors import InputError, SparsecalcError
from sparsecalc.decide.measured_run import ask_bench
from sparsecalc.device.assemble import device_model
from sparsecalc.device.calibration import Calibration, local_path
from sparsecalc.device.find import load_accelerator
from sparsecalc.measure.calibrate.local_device import local_device
from sparsecalc.measure.machine.conditions import machine_conditions
from sparsecalc.measure.machine.peak_memory import PeakMemory
from sparsecalc.measure.timing.generation import bench
from sparsecalc.measure.timing.prepared_run import prepare
from sparsecalc.measure.timing.profile import profile
from sparsecalc.measure.timing.technique_profile import profile_technique

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_probe")]

ENGINE = {"id": "transformers", "name": "transformers", "step_seconds": 1e-3, "sequence_seconds": 0.0}
FITTED = {"compute": 0.9, "bandwidth": 0.4, "overhead_seconds": 1e-6, "origin": "fitted"}
CONSTANTS: dict[str, Any] = {
    "accelerator": None,
    "peak_flops_per_second": {"bf16": 2e11, "fp32": 1e11},
    "memory_bytes_per_second": 3e10,
    "matrix_unit_rows": 1,
    "kernels": {"gemm.bf16": FITTED},
    "engine": ENGINE,
}
MEMORY = 24 * 2**30


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a calibration."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path


def written(path: Path, **changes: Any) -> str:
    """A calibration in a file."""
    seen = machine_conditions("cpu")
    fields: dict[str, Any] = {"created": "2026-01-01T00:00:00+00:00", "device": "cpu", "constants": CONSTANTS}
    fields |= {"device_name": seen["device_name"], "environment": seen | {"memory_bytes": MEMORY}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(Calibration(**fields | changes).to_dict()))
    return str(path)


def test_local_is_the_calibrated_device(quick_run: Run, home: Path) -> None:
    with pytest.raises(InputError, match="no calibration 'local-cuda'"):
        load_accelerator("local-cuda")
    written(local_path("cpu"))
    gpu = load_accelerator("Local")
    assert (gpu.id, gpu.kind, gpu.capacity_bytes, gpu.usd_per_hour) == ("local", "cpu", MEMORY, None)
    model = device_model(gpu)
    assert (model.calibrated, model.matrix_unit_rows, model.engine.id) == (True, 1, "transformers")
    assert model.of("gemm").bandwidth == 0.4
    assert device_model(gpu, "vllm").engine.id == "vllm"
    for command in (["show", "tinyllama-1.1b"], ["compare", "tinyllama-1.1b", "tinyllama-1.1b+2:4"]):
        done = quick_run(*command, "--gpu", "local", "--json")
        assert done.rc == 0, done.stderr
        found = done.json.get("models", [done.json])[0]["prediction"]
        assert found["engine"] == "transformers"
        assert found["usd_per_million_output_tokens"] is None
    assert quick_run("explain", "tinyllama-1.1b", "decode", "--gpu", "local").rc == 0
    both = quick_run("show", "tinyllama-1.1b", "--gpu", "local,h100-sxm", "--json").json["grid"]
    assert [point["accelerator"] for point in both] == ["local", "h100-sxm"]


def test_a_calibration_by_its_file(quick_run: Run, home: Path) -> None:
    path = written(home / "mine.json")
    for options in (["--calibration", path], ["--gpu", "local", "--calibration", path], ["--gpu", path]):
        done = quick_run("show", "tinyllama-1.1b", "--json", *options)
        assert done.rc == 0, done.stderr
        assert done.json["prediction"]["capacity_bytes"] == MEMORY
    refused = quick_run("show", "tinyllama-1.1b", "--gpu", "h100-sxm", "--calibration", path)
    assert refused.rc == 2
    assert "the calibration is not of h100-sxm" in refused.stderr


def test_a_calibration_on_its_data_sheet(quick_run: Run, home: Path) -> None:
    constants = CONSTANTS | {"accelerator": "h100-sxm", "memory_bytes_per_second": None, "peak_flops_per_second": {}}
    path = written(home / "h100.json", device="cuda", device_name="H100", accelerator="h100-sxm", constants=constants)
    gpu = load_accelerator("h100", path)
    model = device_model(gpu)
    assert (gpu.id, gpu.calibration, gpu.usd_per_hour is None) == ("h100-sxm", path, False)
    assert model.peak("bf16") == device_model(load_accelerator("h100")).peak("bf16")
    assert model.of("gemm", "bf16").bandwidth == 0.4
    assert model.engine.id == "generic", "a server's engine, unless transformers is asked for"
    assert device_model(gpu, "transformers").engine.step_seconds == 1e-3
    assert load_accelerator("a100", path).calibration is None
    local = load_accelerator("local", path)
    assert (local.id, local.capacity_bytes, local.usd_per_hour) == ("h100-sxm", MEMORY, None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"constants": None}, "no constants"),
        ({"environment": {}}, "no constants or no memory_bytes"),
        ({"constants": CONSTANTS | {"memory_bytes_per_second": -1.0}}, "memory_bytes_per_second"),
        ({"complete": False}, "unfinished"),
    ],
)
def test_a_calibration_that_is_no_device(home: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as error:
        load_accelerator(written(home / "mine.json", **changes))
    assert "\n" not in str(error.value)


def test_what_profile_predicts_with(home: Path) -> None:
    seen = machine_conditions("cpu")
    model, warnings = local_device(seen)
    assert (model.calibrated, model.matrix_unit_rows) == (False, 1)
    assert model.engine.step_seconds == model.engine.sequence_seconds == 0
    assert [warn.code for warn in warnings] == ["uncalibrated"]
    written(local_path("cpu"), device_name="another")
    assert not local_device(seen)[0].calibrated, "the user's own calibration of another machine"
    written(local_path("cpu"))
    model, warnings = local_device(seen)
    assert (model.calibrated, model.engine.id, warnings) == (True, "transformers", [])
    other = written(home / "other.json", device_name="another")
    model, warnings = local_device(seen | {"threads": 99}, other)
    assert [warn.code for warn in warnings] == ["other-conditions"]
    assert "device_name another" in warnings[0].text
    assert "now 99" in warnings[0].text
    for changes in ({"device": "cuda"}, {"constants": None}):
        with pytest.raises(InputError, match="the calibration"):
            local_device(seen, written(home / "wrong.json", **changes))


def test_profile_and_bench_take_a_calibration(home: Path) -> None:
    path = written(home / "mine.json")
    report = profile(small("llama"), asked(calibration=path, phases=("prefill",)))
    codes = {warn.code for warn in report.warnings}
    assert "contiguous-head" in codes
    assert "uncalibrated" not in codes
    assert report.inputs["calibration"] == path
    question = ask_bench(prompt_len=4, output_len=2, run=run(calibration=path, layers=None))
    assert all(row.predicted_seconds for row in bench(small("llama"), question).measurements)


def test_the_head_is_given_a_copy() -> None:
    prepared = prepare(small("llama"), run())
    seen: list[torch.Tensor] = []
    head = prepared.model.slice.model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    states = torch.randn(2, 5, head.in_features, dtype=torch.bfloat16)
    with torch.inference_mode():
        made = head(states[:, -1:, :])
    assert seen[0].stride() == (head.in_features, head.in_features, 1)
    assert torch.equal(made, torch.nn.functional.linear(states[:, -1:, :].clone(), head.weight))


def test_peak_memory_counts_what_was_added() -> None:
    memory = PeakMemory(torch.device("cpu"))
    memory.reset()
    held = torch.ones(2**24)
    found = memory.peak_bytes()
    assert found is None or found >= 0.9 * held.nbytes


@pytest.mark.parametrize("technique", ["csr", "bsr", "heads", "neurons", "block"])
def test_techniques_of_profile(technique: str) -> None:
    report = profile_technique(small("llama"), technique, asked(batch_sizes=(1, 2), time_budget_seconds=0.2))
    assert {row["tokens"] for row in report.rows} == {1, 2}
    assert [found.tokens for found in report.break_even] == [1, 2]
    assert all(found.text for found in report.break_even)
    compressed = technique in ("csr", "bsr")
    assert (report.inputs["dtype"] == "fp32") == compressed == any(w.code == "other-dtype" for w in report.warnings)


def test_techniques_of_profile_that_are_not_there() -> None:
    with pytest.raises(InputError, match="unknown technique"):
        profile_technique(small("llama"), "csx", asked())
    with pytest.raises(SparsecalcError, match="CUDA"):
        profile_technique(small("llama"), "2:4", asked(time_budget_seconds=0.2))


def test_the_technique_as_a_command(quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[Any] = []
    place = "sparsecalc.measure.timing.technique_profile.profile_technique"
    monkeypatch.setattr(place, lambda *asked: reports.append(profile_technique(*asked)) or reports[-1])
    config = tmp_path / "config.json"
    config.write_text(json.dumps(small("llama").config))
    options = ["--technique", "csr", "--device", "cpu", "--batch-size", "1,2", "--time-budget", "0.2"]
    done = quick_run("profile", str(config), *options, "--json")
    assert done.rc == 0, done.stderr
    assert done.json["technique"] == "csr"
    assert len(done.json["rows"]) == 2 * len({row["density"] for row in done.json["rows"]})
    monkeypatch.setattr(place, lambda *asked: reports[0])
    for name in ("table", "markdown", "csv"):
        text = quick_run("profile", str(config), *options, "--format", name)
        assert "density" in text.stdout
    assert "as fast as dense" in quick_run("profile", str(config), *options).stdout
