"""Predictions as users ask for them: placement, offload, speculation, grids, prices, and what is refused."""

from typing import Any

import pytest
from conftest import Run

from sparsecalc import compare, load


def predicted(name: str, **asked: Any) -> Any:
    found = load(name).report(**{"gpu": "h100-sxm", **asked}).prediction
    assert found is not None
    return found


def test_the_contract_of_a_prediction(quick_run: Run) -> None:
    """Seconds in their band, what binds, serving, and a price: what scripts read."""
    found = quick_run("compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100-sxm", "--num-gpus", "4", "--json").json
    for model in found["models"]:
        prediction = model["prediction"]
        for phase in ("prefill", "decode"):
            part = prediction[phase]
            assert 0 < part["seconds_low"] < part["seconds"] < part["seconds_high"]
            assert part["bound"] == max(part["by_bound"], key=part["by_bound"].get)
            assert sum(part["by_bound"].values()) == pytest.approx(part["seconds"])
            assert sum(part["by_component"].values()) == pytest.approx(part["seconds"])
        serving = prediction["serving"]
        assert serving["ttft_seconds"] > 0
        rate = serving["output_tokens_per_second"]
        spent = serving["ttft_seconds"] + (serving["output_len"] - 1) * serving["tpot_seconds"]
        assert rate == pytest.approx(serving["output_len"] / spent)
        assert serving["output_tokens_per_second_per_gpu"] == pytest.approx(rate / 4)
        assert prediction["usd_per_million_output_tokens"] == pytest.approx(
            prediction["usd_per_hour"] / 3600 / rate * 1e6
        )
    ratio = found["ratios"][1]
    assert ratio["decode_seconds_low"] < ratio["decode_seconds"] < ratio["decode_seconds_high"]


def test_without_a_price_there_are_no_dollars() -> None:
    found = predicted("tinyllama-1.1b", gpu="m2-ultra")
    assert found.usd_per_hour is None
    assert found.usd_per_million_output_tokens is None


def test_devices_are_laid_out_as_they_divide() -> None:
    """16 devices in nodes of 8: tensor parallel inside, pipeline between; 6 cannot divide 32 heads."""
    assert predicted("mixtral-8x7b", num_gpus=16).placement == "tp 8, pp 2"
    assert predicted("mixtral-8x7b", num_gpus=6).placement == "tp 2, pp 3"
    assert predicted("mixtral-8x7b", tp=2, ep=2).placement == "tp 2, ep 2"


def test_more_devices_hold_less_each_and_take_less_time() -> None:
    one, four = (predicted("llama-3.1-8b", tp=tp, batch_size=32) for tp in (1, 4))
    assert four.weights_bytes_per_gpu < one.weights_bytes_per_gpu / 3
    assert four.decode.seconds < one.decode.seconds
    assert four.decode.by_component["network"] > 0


def test_a_latent_cache_is_not_split_by_tensor_parallelism() -> None:
    """MLA's one latent is held by every rank; grouped heads are split."""
    alone, split = (predicted("deepseek-v3", tp=tp, batch_size=64, context_len=32768) for tp in (1, 8))
    cache = alone.decode.by_bound["kv_cache"]
    assert split.decode.by_bound["kv_cache"] > 0.5 * cache
    spread = predicted("deepseek-v3", dp=8, ep=8, batch_size=64, context_len=32768)
    assert spread.decode.by_bound["kv_cache"] < 0.3 * cache


def test_skew_helps_one_device_and_hurts_many() -> None:
    """Fewer experts are read at small batches; the busiest rank waits at large ones."""
    even, skewed = (predicted("qwen3-30b-a3b", batch_size=16, routing=how) for how in ("uniform", "zipf:1"))
    assert skewed.decode.seconds < even.decode.seconds
    many = {"tp": 4, "ep": 4, "prompt_len": 8192, "output_len": 64}
    even, skewed = (predicted("qwen3-30b-a3b", routing=how, **many) for how in ("uniform", "zipf:1"))
    balanced = predicted("qwen3-30b-a3b", routing="zipf:1", eplb_replicas=16, **many)
    assert even.prefill.seconds < balanced.prefill.seconds < skewed.prefill.seconds


def test_experts_in_host_memory() -> None:
    """They make room, and the step waits for the link; a CPU that multiplies them is quicker than sending them."""
    held = {"gpu": "rtx-4090", "dtype": "int4", "context_len": 2048}
    inside, sent = predicted("mixtral-8x7b", **held), predicted("mixtral-8x7b", offload="experts=0.5", **held)
    computed = predicted("mixtral-8x7b", offload="experts=0.5@epyc-9654", **held)
    assert not inside.fits
    assert sent.fits
    assert sent.decode.bound == "host"
    assert inside.decode.seconds < computed.decode.seconds < sent.decode.seconds
    skewed = predicted("mixtral-8x7b", offload="experts=0.5", routing="zipf:1", **held)
    assert skewed.decode.seconds < sent.decode.seconds


def test_speculation_costs_a_mixture_more() -> None:
    """The guesses reach more experts (1.64 against 1.00 in the verify step at batch 1), so a dense model gains more."""
    asked = {"draft_tokens": 3, "acceptance": 0.7}
    sparse, dense = predicted("qwen3-30b-a3b", **asked).speculation, predicted("qwen3-8b", **asked).speculation
    assert sparse.accepted_tokens == pytest.approx((1 - 0.7**4) / 0.3)
    assert sparse.verify_seconds / predicted("qwen3-30b-a3b").decode.seconds > 1.3
    assert dense.verify_seconds / predicted("qwen3-8b").decode.seconds < 1.15
    assert sparse.speedup < dense.speedup
    drafted = predicted("qwen3-8b", draft_model="qwen3-0.6b", **asked).speculation
    assert drafted.speedup < dense.speedup


def test_a_grid_has_every_point() -> None:
    found = compare(
        ["mixtral-8x7b", "llama-70b"], gpu="h100-sxm,l40s", tp=4, batch_size=(1, 8), context_len=(1024, 4096)
    )
    for model in found.models:
        points = {(point.accelerator, point.batch_size, point.context_len) for point in model.grid}
        assert len(points) == len(model.grid) == 8
    first = found.models[0]
    assert first.prediction is not None
    assert first.prediction.decode is not None
    assert load("mixtral-8x7b").report(gpu="h100-sxm", tp=4).grid == []


def test_the_ledger_adds_up(quick_run: Run) -> None:
    asked = ["--gpu", "h200-sxm", "--num-gpus", "8", "--batch-size", "32", "--dtype", "fp8-block"]
    ledger = quick_run("explain", "deepseek-v3", "decode", *asked, "--json").json
    shown = quick_run("show", "deepseek-v3", *asked, "--json").json
    assert sum(line["seconds"] for line in ledger["lines"]) == pytest.approx(ledger["seconds"])
    assert ledger["seconds"] == shown["prediction"]["decode"]["seconds"]
    assert sum(line["share"] for line in ledger["lines"]) == pytest.approx(1)


REFUSED = {
    "unknown accelerator": (["--gpu", "h1000"], "h100"),
    "unknown engine": (["--gpu", "h100", "--engine", "vlm"], "vllm"),
    "a format that it lacks": (["--gpu", "a100", "--dtype", "fp8"], "no fp8 units"),
    "heads that do not divide": (["--gpu", "h100", "--tp", "3"], "does not divide"),
    "more ranks than experts": (["--gpu", "h100", "--tp", "16", "--ep", "16"], "more than the 8 experts"),
    "parts that do not multiply": (["--gpu", "h100", "--tp", "2", "--num-gpus", "3"], "3 GPUs"),
    "no routing": (["--gpu", "h100", "--routing", "zipf:x"], "exponent"),
    "no file of counts": (["--gpu", "h100", "--routing", "./none.json"], "none.json"),
    "no share": (["--gpu", "h100", "--offload", "experts=2"], "offload"),
    "guesses without acceptance": (["--gpu", "h100", "--draft-tokens", "3"], "acceptance"),
    "a list of words": (["--batch-size", "1,many"], "batch-size"),
    "an empty name in a list": (["--gpu", "h100,,l40s"], "gpu"),
    "a length of nothing": (["--gpu", "h100", "--prompt-len", "0"], "prompt length"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line(case: str, quick_run: Run) -> None:
    options, text = REFUSED[case]
    found = quick_run("show", "mixtral-8x7b", *options)
    assert (found.rc, found.stdout) == (2, "")
    assert text in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_step_of_what_cannot_be_held_is_refused(quick_run: Run) -> None:
    """By how much, and what would hold it."""
    found = quick_run("explain", "llama-70b", "decode", "--gpu", "rtx-4090")
    assert found.rc == 2
    assert "GiB per device too much" in found.stderr
    assert "devices" in found.stderr
    shown = quick_run("show", "llama-70b", "--gpu", "rtx-4090", "--json")
    assert shown.rc == 0
    assert shown.json["prediction"]["fits"] is False
    assert [warn["code"] for warn in shown.json["warnings"]] == ["alias", "default-constants", "does-not-fit"]


@pytest.mark.parametrize(("gpu", "warned"), [("h100-sxm", False), ("mi300x", True), ("m3-ultra", True)])
def test_an_architecture_without_fitted_kernels_is_told(gpu: str, warned: bool) -> None:
    report = load("llama-3.2-1b").report(gpu=gpu)
    assert any(note.code == "default-constants" for note in report.warnings) is warned
