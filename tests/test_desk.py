"""Engines of consumer machines: their names and backends, their rows, and how far predictions are from them."""

import json
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.desk import desk_rows, engine_of, on_device, predict_desk_row, steps_of
from sparsecalc.decide.desk_errors import left_out_checks
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_entry, engine_ids, engine_name, engine_profile
from sparsecalc.device.find import load_accelerator
from sparsecalc.library.models import model_ids

Run = Callable[..., Any]
ENTRIES = [(entry, backend) for entry in read_data("desk_engines.json")["engines"] for backend in entry["backends"]]
LEFT_OUT = left_out_checks()


def backend_on(engine: str | None, gpu: str) -> str:
    return engine_profile(engine, load_accelerator(gpu)).backend


@pytest.mark.parametrize(
    ("gpu", "backend"),
    [
        ("rtx-4090", "cuda"),
        ("strix-halo-395", "rocm"),
        ("m4-max", "metal"),
        ("arc-pro-b70", "vulkan"),
        ("ryzen-7950x", "cpu"),
    ],
)
def test_the_backend_follows_from_the_accelerator(gpu: str, backend: str) -> None:
    assert backend_on("llama.cpp", gpu) == backend
    assert backend_on("llama.cpp:vulkan", gpu) == "vulkan"


def test_an_apple_gpu_runs_mlx_unless_told_otherwise() -> None:
    assert engine_profile(None, load_accelerator("m4-max")).id == "mlx"
    assert engine_profile(None, load_accelerator("rtx-4090")).id == "generic"


def test_names_of_engines_have_backend_and_build() -> None:
    assert engine_name("LM-Studio:vulkan@b9739") == ("llama.cpp", "vulkan", "b9739")
    assert engine_name(None) == ("generic", "", "")
    with pytest.raises(InputError, match="unknown backend") as caught:
        engine_entry("llama.cpp:opencl")
    assert "vulkan" in str(caught.value.hint)
    with pytest.raises(InputError, match="unknown backend"):
        engine_entry("vllm:cuda")


def test_an_unknown_backend_is_one_line(quick_run: Run) -> None:
    result = quick_run("show", "llama-3.1-8b", "--gpu", "rtx-4090", "--engine", "llama.cpp:opencl")
    assert result.rc == 2
    assert result.stderr.count("\n") <= 2
    assert "vulkan" in result.stderr


def test_old_builds_have_their_own_factors() -> None:
    gpu = load_accelerator("rtx-4090")
    old, new = engine_profile("llama.cpp@b2850", gpu), engine_profile("llama.cpp@b9739", gpu)
    assert old.attention_factor != 1
    assert new.attention_factor == 1


def test_ollama_runs_the_kernels_of_llama_cpp() -> None:
    gpu = load_accelerator("rtx-4090")
    whole = device_model(gpu, "llama.cpp").constants
    assert device_model(gpu, "ollama").constants.keys() == whole.keys()
    assert device_model(gpu, "ollama").constants["experts"].bandwidth == whole["experts"].bandwidth
    assert {engine_profile(name, gpu).based_on for name in ("llama.cpp", "ollama", "ik_llama.cpp")} == {"llama.cpp"}


def test_a_cpu_multiplies_with_its_vector_units_alone() -> None:
    gpu = load_accelerator("xeon-8480plus")
    vector, matrix = device_model(gpu, "llama.cpp"), device_model(gpu, "ktransformers")
    assert vector.peak("int8") == 4 * vector.peak("fp32")
    assert matrix.peak("int8") == gpu.peak_flops_per_second["int8"] > vector.peak("int8")


def test_entries_name_their_source_and_stay_within_the_data_sheet() -> None:
    for entry, backend in ENTRIES:
        assert backend["source"], (entry["id"], backend["backend"])
        for fields in backend.get("kernels", {}).values():
            assert 0 < fields["bandwidth"] <= 1
            assert 0 < fields["compute"] <= 1


def test_prompts_are_computed_in_micro_batches() -> None:
    row = {"phase": "prefill", "batch_size": 1, "prompt_len": 1100, "context_len": 5196}
    assert [(work.new_tokens, work.context_len) for work in steps_of(row, 512)] == [
        (512, 4608),
        (512, 5120),
        (76, 5196),
    ]


def test_rows_are_of_built_in_models_accelerators_and_engines() -> None:
    models, engines = set(model_ids()), set(engine_ids())
    rows = desk_rows()
    assert len({row["id"] for row in rows}) == len(rows) > 500
    for row in rows:
        assert row["model"] in models
        assert row["engine"] in engines
        assert row["source"]
        assert load_accelerator(row["gpu"]).id == row["gpu"]
        assert 0 < row["seconds_per_step"] < 3600


def test_filtered_rows_are_counted() -> None:
    assert all(each["reason"] and each["rows"] for each in read_data("measurements/desk.json")["excluded"])


def test_every_row_on_a_device_was_left_out_once() -> None:
    known = read_data("measurements/desk_left_out.json")["rows"]
    wanted = {row["id"] for row in desk_rows() if on_device(row) and engine_of(row).partition(":")[0] in FITTED}
    assert wanted <= {*known}


FITTED = ("llama.cpp", "ollama", "ik_llama.cpp", "mlx")


@pytest.mark.parametrize(("phase", "target", "far"), [("decode", 0.12, 0.35), ("prefill", 0.20, 0.60)])
def test_stacks_left_out_are_predicted_within_the_targets(phase: str, target: float, far: float) -> None:
    """All rows in the median; with one sequence at the 90th percentile, too."""
    assert median(abs(check.error) for check in LEFT_OUT if check.what == phase) <= target
    own = sorted(abs(check.error) for check in LEFT_OUT if check.what == phase and "batch 1," in check.where)
    assert own[int(0.9 * len(own))] <= far


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_bands_hold_what_they_say_on_stacks_left_out(phase: str) -> None:
    own = [check.inside for check in LEFT_OUT if check.what == phase]
    assert 0.75 <= sum(own) / len(own) <= 0.88


def test_mixtures_are_predicted_about_as_well_as_dense_models() -> None:
    errors = {kind: [abs(check.error) for check in LEFT_OUT if check.sparse is kind] for kind in (True, False)}
    assert median(errors[True]) <= 1.5 * median(errors[False])


def test_rows_are_predicted_by_the_steps_that_show_predicts(quick_run: Run) -> None:
    row = next(row for row in desk_rows() if row["id"] == "local-096")
    told = ["show", row["model"], "--dtype", row["weights"], "--gpu", row["gpu"], "--engine", "llama.cpp:rocm"]
    result = quick_run(*told, "--context", str(row["context_len"]), "--kv-cache-dtype", "fp16", "--json")
    shown = json.loads(result.stdout)["prediction"]["decode"]["seconds"]
    device = device_model(load_accelerator(row["gpu"]), engine_of(row))
    assert predict_desk_row(row, device).seconds == pytest.approx(shown, rel=1e-6)
