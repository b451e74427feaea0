"""Micro-benchmarks, plans, interrupted runs, calibration files, sparse kernels: never the times."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run

from sparsecalc.core.errors import InputError, SparsecalcError
from sparsecalc.core.routing import expected_distinct_experts
from sparsecalc.device import calibration as calibrations
from sparsecalc.device.assemble import calibrated
from sparsecalc.device.calibration import Calibration, load_calibration, local_path, read_calibration
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.measure.calibrate import calibration_run as calibrating
from sparsecalc.measure.calibrate.benchmark import Benchmark, Work, copies_for, run_benchmark
from sparsecalc.measure.calibrate.benchmark_plans import (
    CPU,
    FEW_ROWS,
    GPU,
    QUICK_CPU,
    QUICK_GPU,
    Plan,
    gemm_shapes,
    planned_benchmarks,
)
from sparsecalc.measure.calibrate.eager_benchmarks import eager_benchmark
from sparsecalc.measure.calibrate.expert_benchmarks import draw_routing, experts_benchmark, experts_module
from sparsecalc.measure.calibrate.kernel_benchmarks import (
    HeadShape,
    attention_benchmark,
    copy_benchmark,
    elementwise_benchmark,
    gemm_benchmark,
    launch_benchmark,
)
from sparsecalc.measure.machine.device import last_level_cache_bytes
from sparsecalc.measure.timing.sparse_kernels import BLOCK, KERNELS, Sizes, break_even, compare_kernels, pruned

pytestmark = pytest.mark.slow

CPU_DEVICE = torch.device("cpu")
GIB = 2**30
ROW = {"op": "copy", "bytes": 8, "seconds": 1e-3, "samples": [1e-3]}


@pytest.fixture(autouse=True)
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few copies of every operand."""
    for module in ("benchmark", "expert_benchmarks", "eager_benchmarks"):
        monkeypatch.setattr(f"sparsecalc.measure.calibrate.{module}.last_level_cache_bytes", lambda device: 2**14)


MEASURED: dict[str, dict[str, Any]] = {}


def run_once(case: Benchmark, device: torch.device, seconds: float) -> dict[str, Any]:
    """The benchmark's row; where it has been run before in this process, the same again."""
    if case.name not in MEASURED:
        MEASURED[case.name] = run_benchmark(case, device, seconds)
    return dict(MEASURED[case.name])


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan of every device is a tiny one, whose benchmarks are run once for all tests."""
    monkeypatch.setattr(calibrating, "run_benchmark", run_once)
    plan = Plan(2, 8, (128, 256), ("fp32",), (4096,), ((1, 16),), (16,), (), (1,), ("tinyllama-1.1b",), seconds=0.01)
    monkeypatch.setattr(calibrating, "plan_for", lambda device, quick: plan)
    return plan


@pytest.mark.parametrize(
    "case",
    [
        copy_benchmark(4096),
        launch_benchmark(False),
        gemm_benchmark(3, 128, 256, "bf16"),
        attention_benchmark(HeadShape(4, 2, 16), 2, 32, "bf16", prefill=False),
        attention_benchmark(HeadShape(4, 4, 16), 1, 32, "fp32", prefill=True),
        elementwise_benchmark("rms_norm", 4, 64, "bf16"),
        elementwise_benchmark("silu_mul", 4, 64, "bf16"),
        eager_benchmark("llama", "layer"),
        eager_benchmark("qwen3_moe", "rest"),
    ],
    ids=lambda case: case.row["op"],
)
def test_a_benchmark_gives_its_row(case: Benchmark) -> None:
    row = run_benchmark(case, CPU_DEVICE, 0.01)
    assert case.is_row(row)
    assert row["seconds"] > 0
    assert len(row["samples"]) >= 5
    assert min(row["samples"]) <= row["seconds"] <= max(row["samples"])
    json.dumps(row)


def test_elementwise_counts_the_kernels_that_torch_launches() -> None:
    row = run_benchmark(elementwise_benchmark("silu_mul", 4, 64, "bf16"), CPU_DEVICE, 0.01)
    assert (row["kernels"], row["bytes"]) == (2, (2 + 3) * 4 * 64 * 2)


def test_copies_are_colder_than_the_cache() -> None:
    assert copies_for(2**12, CPU_DEVICE) * 2**12 > 3 * 2**14
    assert copies_for(2**30, CPU_DEVICE) == 2
    assert last_level_cache_bytes(CPU_DEVICE) > 2**16


def test_experts_are_the_real_module_and_touch_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model_type": "qwen3_moe", "hidden_size": 32, "moe_intermediate_size": 24, "num_experts": 16}
    config |= {"num_experts_per_tok": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64}
    monkeypatch.setattr("sparsecalc.measure.calibrate.expert_benchmarks.built_in_config", lambda name: config)
    experts_module.cache_clear()
    for implementation in ("grouped_mm", "eager"):
        row = run_benchmark(experts_benchmark("tiny", 3, implementation, GIB), CPU_DEVICE, 0.01)
        assert (row["num_experts"], row["num_experts_per_tok"], row["moe_intermediate_size"]) == (16, 4, 24)
        assert 4 <= row["distinct"] <= 12
    cut, _ = experts_module("tiny", 8 * 3 * 32 * 24 * 2, CPU_DEVICE)
    assert (cut.num_experts, cut.gate_up_proj.shape[0]) == (8, 8)
    experts_module.cache_clear()


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_routing_is_drawn_without_replacement(skew: float) -> None:
    drawn = draw_routing(4000, 32, 4, skew, 1)
    assert drawn.shape == (4000, 4)
    assert (drawn.sort(dim=1).values.diff(dim=1) > 0).all()
    loads = torch.bincount(drawn.flatten(), minlength=32) / 500
    assert loads.max() < 1.2 if skew == 0 else loads.max() > 3
    distinct = sum(len(draw_routing(8, 32, 4, skew, seed).unique()) for seed in range(300)) / 300
    uniform = expected_distinct_experts(32, 4, 8)
    assert distinct == pytest.approx(uniform, rel=0.02) if skew == 0 else distinct < 0.9 * uniform


@pytest.mark.parametrize("plan", [CPU, QUICK_CPU, GPU, QUICK_GPU])
def test_plans(plan: Plan) -> None:
    shapes = gemm_shapes(plan)
    assert len(set(shapes)) == plan.gemms
    assert all(1 <= m <= plan.most_rows and n % 128 == k % 128 == 0 for m, n, k in shapes)
    assert 2 * sum(m <= FEW_ROWS for m, _, _ in shapes) >= plan.gemms
    cases = planned_benchmarks(plan, 64 * GIB)
    assert len({case.name for case in cases}) == len(cases)
    kinds = {case.row["op"] for case in cases}
    assert kinds == {"copy", "launch", "eager", "gemm", "attention_decode", "attention_prefill", "moe", "elementwise"}
    assert {case.row["op"] for case in cases[:8]} >= kinds - {"attention_prefill"}, "kinds take turns"
    assert len(planned_benchmarks(plan, GIB)) <= len(cases)


def test_interrupted_calibration_goes_on(tiny: Plan) -> None:
    saved: list[Calibration] = []

    def stop_after_three(found: Calibration) -> None:
        saved.append(found)
        if len(saved) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrating.calibrate(CPU_DEVICE, save=stop_after_three)
    assert [len(found.rows) for found in saved] == [1, 2, 3]
    assert not saved[-1].complete
    found, _ = calibrating.calibrate(CPU_DEVICE, earlier=saved[-1])
    assert found.rows[:3] == saved[-1].rows
    assert found.complete
    assert len(found.rows) == len(planned_benchmarks(tiny, 64 * GIB))
    again, _ = calibrating.calibrate(CPU_DEVICE, earlier=found)
    assert again.rows == found.rows, "nothing is left to measure"


def test_a_failing_benchmark_loses_nothing_else() -> None:
    def fail(device: torch.device) -> Work:
        raise RuntimeError("out of memory\nat length")

    found, warnings = calibrating.calibrate(
        CPU_DEVICE, chosen=[Benchmark({"op": "copy", "bytes": 1}, fail), copy_benchmark(4096)]
    )
    assert [row["bytes"] for row in found.rows] == [4096]
    (warning,) = [warn for warn in warnings if warn.code == "benchmark-failed"]
    assert warning.text == "copy bytes=1: RuntimeError: out of memory; left out"


def test_constants_are_fitted_to_the_rows_and_make_a_device_model() -> None:
    cases = [gemm_benchmark(m, n, 128, "fp32") for m in (1, 4, 32) for n in (128, 256)]
    found, warnings = calibrating.calibrate(CPU_DEVICE, chosen=[*cases, copy_benchmark(4096)])
    assert "not-fitted" not in {warn.code for warn in warnings}
    assert found.constants is not None
    assert found.prior is not None
    assert found.residuals is not None
    assert set(found.constants["kernels"]) == set(found.prior["kernels"]) == set(found.residuals) == {"gemm.fp32"}
    model = calibrated(found.device_name, found.constants)
    copied = found.rows[-1]
    assert model.memory_bytes_per_second == pytest.approx(2 * copied["bytes"] / copied["seconds"])
    best = max(2 * row["m"] * row["n"] * row["k"] / row["seconds"] for row in found.rows[:-1])
    assert model.peak("fp32") == pytest.approx(best)
    assert model.of("gemm", "fp32").to_dict() == found.constants["kernels"]["gemm.fp32"]
    alone, warnings = calibrating.calibrate(CPU_DEVICE, chosen=[copy_benchmark(4096)])
    assert alone.constants is None
    assert "not-fitted" in {warn.code for warn in warnings}


def test_no_time_at_all_is_told(tiny: Plan) -> None:
    with pytest.raises(SparsecalcError, match="within the time budget"):
        calibrating.calibrate(CPU_DEVICE, budget_seconds=0)


def test_the_command_writes_what_can_be_loaded(
    tiny: Plan, quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(InputError, match="has not been calibrated yet"):
        load_calibration("local")
    done = quick_run("calibrate", "--device", "cpu", "--json")
    assert done.rc == 0, done.stderr
    assert done.json["command"] == "calibrate"
    assert done.json["written"] == str(local_path("cpu"))
    found = load_calibration("local")
    assert found == load_calibration("local-cpu") == load_calibration(str(local_path("cpu")))
    assert found.rows == done.json["rows"]
    assert found.environment["torch"] == torch.__version__
    assert not local_path("cpu").with_name("cpu.partial.json").exists()
    with pytest.raises(InputError, match="Did you mean 'local-cpu'"):
        load_calibration("local-cpx")
    for form in ("table", "markdown", "csv"):
        shown = quick_run("calibrate", "--device", "cpu", "-f", form, "-o", tmp_path / "mine.json")
        assert shown.rc == 0
        assert "gemm" in shown.stdout
    assert read_calibration(tmp_path / "mine.json").device == "cpu"


def test_an_interrupted_command_resumes(tiny: Plan, quick_run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    target, partial = tmp_path / "c.json", tmp_path / "c.partial.json"
    nothing = quick_run("calibrate", "--device", "cpu", "--resume", "-o", target)
    assert (nothing.rc, nothing.stdout) == (2, "")
    assert "no interrupted calibration" in nothing.stderr
    real, calls = calibrating.run_benchmark, 0

    def interrupted(case: Benchmark, device: torch.device, seconds: float) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(case, device, seconds)

    monkeypatch.setattr(calibrating, "run_benchmark", interrupted)
    stopped = quick_run("calibrate", "--device", "cpu", "-o", target)
    assert stopped.rc == 130
    assert "2 benchmarks are kept" in stopped.stderr
    assert not target.exists()
    with pytest.raises(InputError, match="unfinished"):
        load_calibration(str(partial))
    assert quick_run("calibrate", "--device", "cpu", "--resume", "-o", target).rc == 0
    assert target.exists()
    assert not partial.exists()
    partial.write_text(json.dumps({**json.loads(target.read_text()), "complete": False, "device_name": "another"}))
    other = quick_run("calibrate", "--device", "cpu", "--resume", "-o", target)
    assert other.rc == 2
    assert "is of another, not of" in other.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not a JSON object"),
        ("{}", "schema_version: is missing"),
        ('{"schema_version": 2}', "schema_version: Input should be 1"),
        ('{"schema_version": 1}', "not a calibration (created: is missing"),
        ({"created": 3}, "created: Input should be a valid string"),
        ({"rows": {}}, "rows: Input should be a valid list"),
        ({"rows": [{"op": "copy"}]}, "rows.0.seconds: is missing"),
        ({"rows": [ROW, {**ROW, "seconds": float("nan")}]}, "rows.1.seconds: Input should be a finite number"),
        ({"rows": [{**ROW, "seconds": True}]}, "rows.0.seconds: Input should be a valid number"),
        ({"constants": [1]}, "constants: Input should be a valid dictionary"),
        ({"complete": False}, "an unfinished calibration"),
    ],
)
def test_what_is_no_calibration(content: Any, told: str, tmp_path: Path) -> None:
    good = {"schema_version": 1, "created": "2026-01-01", "device": "cpu", "device_name": "x", "rows": [ROW]}
    path = tmp_path / "c.json"
    path.write_text(content if isinstance(content, str) else json.dumps({**good, **content}))
    with pytest.raises(InputError) as error:
        load_calibration(str(path))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_huge_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such calibration file"):
        load_calibration(str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="cannot be read"):
        load_calibration(str(tmp_path))
    monkeypatch.setattr(calibrations, "LARGEST_FILE_BYTES", 10)
    (tmp_path / "long.json").write_text("[" + "1," * 100 + "1]")
    with pytest.raises(InputError, match="more than 10 bytes"):
        load_calibration(str(tmp_path / "long.json"))


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/sparsecalc"),
        ("linux", {"XDG_DATA_HOME": "relative", "HOME": "/home/u"}, "/home/u/.local/share/sparsecalc"),
        ("darwin", {"HOME": "/Users/u"}, "/Users/u/Library/Application Support/sparsecalc"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/sparsecalc"),
    ],
)
def test_where_the_users_data_lies(platform: str, variables: Any, folder: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert calibrations.user_folder() == Path(folder)


@pytest.mark.parametrize(
    ("name", "gib", "accelerator"),
    [
        ("NVIDIA H100 80GB HBM3", 79.2, "h100-sxm"),
        ("NVIDIA H100 PCIe", 79.2, "h100-pcie"),
        ("NVIDIA H100 NVL", 93.1, "h100-nvl"),
        ("NVIDIA H200", 139.8, "h200-sxm"),
        ("NVIDIA A100-SXM4-80GB", 79.3, "a100-80gb-sxm"),
        ("NVIDIA A100-PCIE-40GB", 39.4, "a100-40gb-pcie"),
        ("NVIDIA GeForce RTX 4090", 23.5, "rtx-4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.6, "rtx-4090-laptop"),
        ("Tesla T4", 14.6, "t4"),
        ("AMD EPYC", 20, None),
    ],
)
def test_the_data_sheet_of_a_driver_name(name: str, gib: float, accelerator: str | None) -> None:
    assert accelerator_of(name, int(gib * GIB)) == accelerator


@pytest.mark.parametrize("technique", [name for name in KERNELS if name != "2:4"])
def test_sparse_kernels_give_rows(technique: str) -> None:
    sizes = Sizes(64, 64, (1, 4), (0.25, 0.5), "fp32", heads=4, budget_seconds=0.005)
    rows = compare_kernels(technique, "cpu", sizes)
    assert [(row["tokens"], row["density"]) for row in rows] == [(1, 0.25), (1, 0.5), (4, 0.25), (4, 0.5)]
    assert all(row["speedup"] == pytest.approx(row["dense_seconds"] / row["seconds"]) for row in rows)
    json.dumps(rows)


@pytest.mark.parametrize("technique", ["csr", "bsr"])
@pytest.mark.parametrize("tokens", [1, 5])
def test_sparse_kernels_multiply_the_pruned_weight(technique: str, tokens: int, monkeypatch: Any) -> None:
    weight = pruned(64, 64, 0.3, 1 if technique == "csr" else BLOCK, torch.float32, CPU_DEVICE)
    assert 0.1 < (weight != 0).float().mean() < 0.5
    found: list[torch.Tensor] = []
    monkeypatch.setattr("sparsecalc.measure.timing.sparse_kernels.pruned", lambda *given: weight)
    monkeypatch.setattr(torch, "mv", lambda a, b, real=torch.mv: found.append(real(a, b)))
    monkeypatch.setattr(torch, "mm", lambda a, b, real=torch.mm: found.append(real(a, b)))
    inputs = torch.randn(tokens, 64)
    KERNELS[technique](inputs, Sizes(64, 64), 0.3, 2).run()
    assert len(found) == 2
    wanted = inputs.matmul(weight.t()).t()
    assert torch.allclose(found[0].view(64, tokens), wanted, atol=1e-5)
    assert torch.equal(found[0], found[1])


def test_break_even_is_where_the_speedups_cross_one() -> None:
    rows = [{"density": density, "speedup": speedup} for density, speedup in ((0.5, 0.5), (0.1, 3.0), (0.3, 1.5))]
    assert break_even(rows) == pytest.approx(0.4)
    assert break_even(rows[1:]) is None
    assert break_even(rows[:1]) is None


def test_kernels_that_are_not_there() -> None:
    with pytest.raises(InputError, match="Did you mean 'csr'"):
        compare_kernels("cs", "cpu", Sizes(64, 64))
    with pytest.raises(SparsecalcError, match="2:4 kernels need a CUDA device"):
        compare_kernels("2:4", "cpu", Sizes(64, 64, (1,), budget_seconds=0.005))
