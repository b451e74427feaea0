"""Predictions beside published measurements: every row answered, errors under their gates, nothing beats physics."""

import json
from functools import cache
from statistics import median
from typing import Any

import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.decide.published import (
    fits_engines,
    kernel_of,
    serving_checks,
    serving_rows,
    shipped_device,
    step_rows,
)
from sparsecalc.decide.validate import REPLAY_STRIDE, validate
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_ids, engine_profile
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.validate import AccuracyTable, ValidateReport
from sparsecalc.estimate.benchmarked_kernels import (
    Operands,
    decode_attention,
    experts,
    gemm,
    latent_attention,
    prefill_attention,
)
from sparsecalc.estimate.kernel import Kernel, Setting
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.timing import kernel_time, transfer_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model, model_ids
from sparsecalc.read.number_formats import number_format
from sparsecalc.reports.accuracy_page import accuracy_page
from sparsecalc.reports.formats import render

pytestmark = pytest.mark.slow

KERNELS = read_data("measurements/kernels.json")
SERVING = read_data("measurements/serving.json")


@cache
def report() -> ValidateReport:
    return validate()


def table(name: str) -> AccuracyTable:
    (found,) = [each for each in report().tables if each.id == name]
    return found


def group(name: str, start: str) -> Any:
    (found,) = [each for each in table(name).groups if each.group.startswith(start)]
    return found


def test_every_row_is_answered() -> None:
    counts = report().inputs
    rows = sum(len(each["rows"]) for each in KERNELS["tables"])
    replayed = len(SERVING["rows"][::REPLAY_STRIDE])
    assert (counts["kernels"], counts["steps"], counts["serving"]) == (rows, len(step_rows()), replayed)
    for check in report().checks:
        assert 0 < check.seconds_low < check.predicted_seconds < check.seconds_high, check


@pytest.mark.parametrize(
    ("kind", "median", "p90"), [("dense", 0.08, 0.18), ("mixture of experts", 0.12, 0.4)], ids=["dense", "moe"]
)
def test_tpot(kind: str, median: float, p90: float) -> None:
    """Runs that measure a step; with those set apart (queues, waves, drafted tokens) the median is hardly worse."""
    agreed, every = group("serving-agreed", kind), group("serving", kind)
    assert agreed.median_error <= median
    assert agreed.p90_error <= p90
    assert agreed.rows < every.rows
    assert every.median_error <= median + 0.03


@pytest.mark.parametrize(
    ("what", "gpu", "mean"),
    [
        ("gemm bf16", "h100-sxm", 0.07),
        ("gemm bf16", "h200-sxm", 0.08),
        ("gemm bf16", "b200-sxm", 0.10),
        ("gemm bf16", "a100-80gb-sxm", 0.10),
        ("attention_prefill bf16", "h100-sxm", 0.10),
        ("attention_prefill bf16", "h200-sxm", 0.10),
        ("experts bf16", "h200-sxm", 0.11),
        ("experts bf16", "b200-sxm", 0.14),
        ("experts bf16", "a100-80gb-sxm", 0.18),
    ],
)
def test_kernels_that_were_not_fitted(what: str, gpu: str, mean: float) -> None:
    assert group("kernels-gpus", f"{what}, {gpu}").mean_error <= mean


@pytest.mark.parametrize(
    ("what", "mean"), [("attention_decode", 0.06), ("all_reduce", 0.13), ("all_to_all", 0.13), ("gemm", 0.1)]
)
def test_classes_of_kernels(what: str, mean: float) -> None:
    assert group("kernels", what).mean_error <= mean


@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_steps_of_known_engines(phase: str) -> None:
    assert group("steps", phase).median_error <= 0.12


def test_bands_hold_what_they_say() -> None:
    for name in ("kernels", "steps, held out", "all"):
        assert 0.75 <= group("coverage", name).coverage <= 0.90
    assert 0.75 <= group("coverage", "TPOT, mix").coverage <= 0.90


def test_a_roofline_is_far_worse() -> None:
    assert group("ablation", "data sheet's roofline").median_error > 4 * group("ablation", "whole").median_error


def test_no_kernel_is_predicted_faster_than_its_device() -> None:
    """FLOPs over the peak, bytes of weights and cache over the bandwidth."""
    for each in KERNELS["tables"]:
        for values in each["rows"]:
            row = dict(zip(each["columns"], values, strict=True))
            device = shipped_device(each["gpu"], row["engine"])
            if each["op"] in ("all_reduce", "all_to_all"):
                share = (2 if each["op"] == "all_reduce" else 1) * (row["ranks"] - 1) / row["ranks"]
                floor = share * row["message_bytes"] / device.link_bytes_per_second
                seconds = transfer_time("", each["op"], 1, row["ranks"], row["message_bytes"], device).seconds
                assert seconds >= floor, (each["gpu"], row)
                continue
            kernel = kernel_of(each, row)
            seconds = kernel_time(kernel, device).seconds
            assert seconds >= kernel.flops / device.peak(kernel.dtype), (each["gpu"], row)
            moved = kernel.weight_bytes + kernel.cache_bytes
            assert seconds >= 0.95 * moved / device.memory_bytes_per_second, (each["gpu"], row)


def test_no_kernel_was_measured_faster_than_its_memory() -> None:
    for each in KERNELS["tables"]:
        if each["op"] in ("gemm", "attention_decode"):
            bandwidth = load_accelerator(each["gpu"]).memory_bytes_per_second
            for values in each["rows"]:
                kernel = kernel_of(each, dict(zip(each["columns"], values, strict=True)))
                assert kernel.weight_bytes + kernel.cache_bytes < 1.02 * bandwidth * values[-1], (each["gpu"], values)


def test_fixtures_name_their_source_and_licence() -> None:
    for found in (KERNELS, SERVING):
        assert found["source"].startswith("ai-dynamo/aiconfigurator")
        assert found["licence"] == "Apache-2.0"
        assert found["comment"]
    assert all(peer["source"] and peer["what"] for peer in read_data("measurements/peers.json")["peers"])
    for name in ("kernels", "serving"):
        assert len((data_folder() / "measurements" / f"{name}.json").read_bytes()) < 300_000


def test_serving_runs_are_of_built_in_models_and_accelerators() -> None:
    known, engines = set(model_ids()), set(engine_ids())
    for row in serving_rows():
        assert row["model"] in known
        assert row["engine"] in engines
        assert load_accelerator(row["gpu"]).id == row["gpu"]
        assert row["ep"] in (1, row["tp"] * row["dp"])
        assert 0 < row["tpot_seconds"] < 1


def test_serving_runs_take_the_formats_of_the_checkpoint_that_is_served() -> None:
    """The same model in every size, and its attention in 16 bits where the checkpoint keeps it so."""
    pairs = {(row["model"], row["checkpoint"], row["dtype"]) for row in serving_rows() if row["checkpoint"]}
    assert {dtype for _, _, dtype in pairs} >= {"nvfp4", "int4", "fp8"}
    for model, checkpoint, _ in pairs:
        served, built_in = load_model(checkpoint).spec, load_model(model).spec
        assert served.ops(Workload()).total("params") == built_in.ops(Workload()).total("params")
        assert precision_for(served).origin == "as published"
    wide = [name for _, name, dtype in pairs if dtype in ("nvfp4", "int4") and "attention=bf16" in _formats(name)]
    assert len(wide) >= 3
    rows = [row for row in serving_rows() if row["checkpoint"] in wide and row["engine"] != "trtllm"]
    errors = [abs(check.error) for check in serving_checks(rows)]
    assert len(errors) > 50
    assert median(errors) < 0.1


def _formats(checkpoint: str) -> str:
    return precision_for(load_model(checkpoint).spec).name


def test_contradicted_runs_have_a_twin() -> None:
    """One of the same conditions 1.6 times as fast or slow, or one with no more requests 1.4 times slower."""
    keys = ("model", "dtype", "gpu", "engine", "tp", "dp", "prompt_len", "output_len")
    rows = serving_rows()
    for row in rows:
        if row["contradicted"]:
            own, place = row["tpot_seconds"], (row["ep"], row["concurrency"])
            twins = [each for each in rows if all(each[key] == row[key] for key in keys)]
            same = [each["tpot_seconds"] for each in twins if (each["ep"], each["concurrency"]) == place]
            fewer = [each["tpot_seconds"] for each in twins if each["concurrency"] <= row["concurrency"]]
            assert max(*same, own) > 1.6 * min(*same, own) or max(fewer) > 1.4 * own, row


def test_engines_were_fitted_to_small_models_alone() -> None:
    fitted = {(row["model"], row["batch_size"]) for row in step_rows() if fits_engines(row)}
    assert fitted == {("llama-2-7b", 1), ("llama-3.1-8b", 1)}
    for name in engine_ids():
        assert engine_profile(name).source


def test_constants_name_their_origin() -> None:
    found = read_data("kernel_constants.json")
    for entry in [found["default"], *found["devices"]]:
        assert len(entry["origin"]) > 40, entry


def test_an_engine_is_looked_up_by_accelerator() -> None:
    plain, a100 = engine_profile("gpt-fast"), engine_profile("gpt-fast", load_accelerator("a100-80gb-sxm"))
    assert plain.launch_factor == 1
    assert a100.launch_factor < 1
    assert device_model(load_accelerator("a100-80gb-sxm"), "gpt-fast").engine == a100


def test_devices_of_one_architecture_share_constants() -> None:
    h100, h800 = (device_model(load_accelerator(name), "vllm").constants for name in ("h100-sxm", "h800-sxm"))
    assert h100 == h800
    assert device_model(load_accelerator("h200-sxm"), "vllm").constants["gemm"] != h100["gemm"]


BF16 = Operands(form="bf16", dtype="bf16", stored=number_format("bf16"))
SHAPE = ("family", "form", "dtype", "flops", "padding_flops", "weight_bytes", "cache_bytes")
MOVED = ("activation_bytes", "vector_bytes", "extent")


def of_layer(model: str, work: Workload) -> dict[str, Kernel]:
    """Kernels of a step in 16 bits on one H100, by name; of several kinds of layers the last."""
    device = device_model(load_accelerator("h100-sxm"))
    spec = load_model(model).spec
    rows = spec.ops(work)
    setting = Setting(precision_for(spec, "bf16"), Placement(), device.peak_flops_per_second, device.accelerator)
    return {kernel.name: kernel for kernel in kernels([rows], [work], rows, setting)}


def same(one: Kernel, other: Kernel, names: tuple[str, ...]) -> None:
    for name in names:
        first, second = getattr(one, name), getattr(other, name)
        assert first == (second if isinstance(second, str) else pytest.approx(second, rel=1e-9)), name


def test_single_kernels_are_those_of_a_model() -> None:
    """Mixtral-8x7B: hidden 4096, experts of 14336, 8 of them and 2 per token, 32 query and 8 key-value heads of 128."""
    found = of_layer("mixtral-8x7b", Workload.decode(1024, 8))
    same(found["o_proj"], gemm(8, 4096, 4096, BF16), SHAPE + MOVED)
    same(found["q_proj+k_proj+v_proj"], gemm(8, 6144, 4096, BF16), SHAPE)
    distinct = 8 * (1 - (1 - 2 / 8) ** 8)
    benchmarked = experts(8, 4096, 14336, 2, 16, distinct, BF16)
    same(found["experts"], benchmarked, (*SHAPE, *MOVED, "distinct"))
    attention = decode_attention(8, 1024, 32, 8, 128, BF16)
    same(found["scores_and_values"], attention, (*SHAPE, "rows_per_cache_head"))


def test_a_prompts_attention_is_that_of_a_model() -> None:
    found = of_layer("mixtral-8x7b", Workload.prefill(512, 2))["scores_and_values"]
    same(found, prefill_attention(2, 512, 32, 128, BF16), (*SHAPE, "extent"))


def test_latent_attention_is_that_of_a_model() -> None:
    """DeepSeek-V3: 128 heads over a latent of 512 and 64 rotary elements."""
    found = of_layer("deepseek-v3", Workload.decode(2048, 4))["scores_and_values"]
    same(found, latent_attention(4, 2048, 128, 512, 64, BF16), SHAPE)


@pytest.mark.parametrize("name", ["table", "markdown", "json", "csv"])
def test_every_format(name: str) -> None:
    text = render(report(), name)
    assert len(text.splitlines()) > 50
    if name == "json":
        assert json.loads(text)["tables"][0]["id"] == "serving"
    if name == "csv":
        assert len(text.splitlines()) == len(report().checks) + 1


def test_the_page_says_what_was_fitted() -> None:
    page = accuracy_page(report())
    assert page.index("## What was fitted") < page.index("## TPOT of serving runs, all") < page.index("## What others")
    for each in report().tables:
        assert f"## {each.title}" in page
