"""`plan`: the same figures as `show`, nothing that does not fit, no candidate that another one beats, plain answers."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.decide.plan import plan
from sparsecalc.decide.plan_front import on_front
from sparsecalc.decide.plan_layouts import layouts, replica_counts
from sparsecalc.decide.plan_models import checkpoints
from sparsecalc.decide.plan_question import plan_asked
from sparsecalc.decide.plan_search import Search
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.documents.plan import Candidate, PlanReport
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.step import BAND
from sparsecalc.library.models import load_model

LENGTHS = {"prompt_len": 500, "output_len": 100}


def planned(*names: str, **given: Any) -> PlanReport:
    return plan(list(names), plan_asked(**{**LENGTHS, **given}))


def shown(candidate: Candidate, name: str, **given: Any) -> Any:
    layout = {key: getattr(candidate, key) for key in ("tp", "pp", "dp", "ep")}
    asked = ask(
        gpu=candidate.accelerator,
        engine="vllm",
        concurrency=candidate.batch_size,
        batch_size=candidate.batch_size,
        context_len=600,
        **{**LENGTHS, **layout, **given},
    )
    return show(name, asked).prediction


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_figures_are_those_of_show(name: str) -> None:
    report = planned(name, gpu="h100-sxm,l40s", concurrency=24, tpot="60ms")
    assert report.plan.candidates
    assert report.plan.recommended == report.plan.candidates[0]
    for candidate in report.plan.candidates:
        own = name if candidate.checkpoint == load_model(name).facts["hub_id"] else candidate.checkpoint
        found = shown(candidate, own)
        assert found.fits
        assert candidate.fits
        assert candidate.tpot_seconds == found.serving.tpot_seconds <= 0.06
        assert candidate.ttft_seconds == found.serving.ttft_seconds
        assert candidate.num_gpus == found.num_gpus * candidate.replicas <= 8
        share = 24 / candidate.batch_size
        assert candidate.output_tokens_per_second == pytest.approx(found.serving.output_tokens_per_second * share)
        assert candidate.usd_per_hour == pytest.approx(found.usd_per_hour * candidate.replicas)
        dollars = candidate.usd_per_hour / 3600 / candidate.output_tokens_per_second * 1e6
        assert candidate.usd_per_million_output_tokens == pytest.approx(dollars)
        assert candidate.command.startswith(f"vllm serve {candidate.checkpoint}")


def figures(candidate: Candidate) -> tuple[float, float, float]:
    usd = candidate.usd_per_million_output_tokens
    assert usd is not None
    return candidate.tpot_seconds, -candidate.output_tokens_per_second_per_gpu, usd


def beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(one <= other for one, other in zip(first, second, strict=True))


@given(
    st.sampled_from(["h100-sxm,l40s", "a100-80gb-sxm", "mi300x,h200-sxm"]),
    st.integers(1, 16),
    st.integers(16, 2000),
    st.integers(2, 200),
    st.sampled_from(["bf16", "fp8"]),
)
@settings(max_examples=8)
def test_a_brute_force_finds_the_same_front(gpu: str, concurrency: int, prompt: int, answer: int, dtype: str) -> None:
    lengths = {"prompt_len": prompt, "output_len": answer}
    if dtype == "fp8" and "a100" in gpu:
        dtype = "bf16"
    report = planned("llama-3.1-8b", gpu=gpu, max_gpus=2, concurrency=concurrency, dtype=dtype, **lengths)
    brute = {}
    for name, (tp, replicas) in product(gpu.split(","), [(1, 1), (1, 2), (2, 1)]):
        if replicas > concurrency:
            continue
        share = -(-concurrency // replicas)
        asked = ask(gpu=name, engine="vllm", tp=tp, concurrency=share, dtype=dtype, **lengths)
        found = show("llama-3.1-8b", asked).prediction
        assert found
        assert found.serving
        assert found.usd_per_hour
        rate = found.serving.output_tokens_per_second * concurrency / share
        per_gpu = rate / (tp * replicas)
        brute[name, tp, replicas] = (
            found.serving.tpot_seconds,
            -per_gpu,
            found.usd_per_hour * replicas / 3600 / rate * 1e6,
        )
    front = {key for key, costs in brute.items() if not any(beats(other, costs) for other in brute.values())}
    listed = {(each.accelerator, each.tp, each.replicas) for each in report.plan.candidates}
    assert listed == front
    assert not any(beats(figures(a), figures(b)) for a in report.plan.candidates for b in report.plan.candidates)
    cheapest = min(brute, key=lambda key: brute[key][2])
    best = report.plan.recommended
    assert best
    assert (best.accelerator, best.tp, best.replicas) == cheapest
    plane = {key: costs[:2] for key, costs in brute.items() if key in front}
    on_plane = {key for key, costs in plane.items() if not any(beats(other, costs) for other in plane.values())}
    assert {(each.accelerator, each.tp, each.replicas) for each in report.plan.candidates if each.on_front} == on_plane


@pytest.mark.parametrize(
    ("gpu", "name"), [("h100-sxm", "deepseek-v3"), ("l40s", "qwen3-30b-a3b"), ("b200-sxm", "glm-4.5")]
)
def test_the_search_says_what_the_closed_formula_says(gpu: str, name: str) -> None:
    """Kernels put together, arrays of loads and what accelerators share change nothing."""
    from sparsecalc.decide.capacity import HeldMemory, prompt_chunks
    from sparsecalc.decide.deploy import deploy
    from sparsecalc.decide.predict import _serve_by_formula
    from sparsecalc.decide.question import Parallelism

    asked = plan_asked(gpu=gpu, max_gpus=16, concurrency=48, ttft="3000s", **LENGTHS)
    checkpoint = checkpoints(name, asked.question)[0]
    options = Search(asked, checkpoint, asked.question.devices.accelerators[0]).options(may_widen=True)
    assert len(options) >= 5
    checkpoint.variant.model.kept = None
    for option in options[:: max(1, len(options) // 12)]:
        layout, requests = option.plan, asked.question.requests.but(concurrency=option.concurrency)
        parallelism = Parallelism(tp=layout.tp, pp=layout.pp, dp=layout.dp, ep=layout.ep)
        question = asked.question.but(parallelism=parallelism, requests=requests)
        deployed = deploy(checkpoint.variant.model, checkpoint.variant.precision, question, option.gpu)
        capacity = HeldMemory(deployed, question)
        assert capacity.fits(question.load.but(batch_size=option.concurrency))
        prompt = deployed.prompt(prompt_chunks(deployed, question, requests.prompt_len))
        found = _serve_by_formula(deployed, question, None, capacity, prompt)
        assert option.tpot_seconds == pytest.approx(found.tpot_seconds, rel=1e-3)
        assert option.idle_seconds == pytest.approx(
            prompt.seconds + deployed.device.engine.first_token_seconds(requests.prompt_len)
        )


def test_targets_budget_and_order() -> None:
    report = planned("llama-3.1-8b", gpu="all", concurrency=32, tpot="15ms", ttft="400ms", budget=3)
    assert report.plan.candidates
    for each in report.plan.candidates:
        assert each.tpot_seconds <= 0.015
        assert each.ttft_seconds <= 0.4
        assert each.usd_per_hour is not None
        assert each.usd_per_hour <= 3
    dollars = [each.usd_per_million_output_tokens for each in report.plan.candidates]
    assert dollars == sorted(dollars)
    assert report.plan.rejected["budget"]
    speed = planned("llama-3.1-8b", gpu="h100-sxm,l4", concurrency=8, sort="speed")
    assert speed.plan.recommended
    assert speed.plan.recommended.tpot_seconds == min(each.tpot_seconds for each in speed.plan.candidates)
    fewest = planned("llama-3.1-8b", gpu="h100-sxm,l4", concurrency=8, sort="gpus")
    assert fewest.plan.recommended
    assert fewest.plan.recommended.num_gpus == 1


def test_a_rate_is_kept() -> None:
    report = planned("llama-3.1-8b", gpu="l4,h100-sxm", rate=6, max_gpus=8)
    assert report.plan.candidates
    for each in report.plan.candidates:
        spent = each.ttft_seconds + 99 * each.tpot_seconds
        answered = max(each.replicas * each.batch_size / spent, each.output_tokens_per_second / 100)
        assert answered >= 0.98 * 6
    hours = [each.usd_per_hour for each in report.plan.candidates]
    assert hours == sorted(hours)
    waits = planned("qwen3-30b-a3b", gpu="h100-sxm", rate=10, ttft="1s", engine="sglang")
    assert waits.plan.candidates, "what a client waits for the first token besides keeps no server busy"
    nothing = planned("llama-3.1-8b", gpu="l4", rate=5000, max_gpus=2)
    assert not nothing.plan.candidates
    assert nothing.plan.rejected["rate"]


def test_several_models_and_published_precisions() -> None:
    report = planned("llama-3.1-70b", "llama-3.1-8b", gpu="h100-sxm,a100-80gb-sxm", concurrency=8)
    assert report.plan.recommended
    assert report.plan.recommended.model == "llama-3.1-8b"
    assert report.plan.rejected["format"] >= 2, "an A100 does not multiply FP8, and there is a checkpoint in 16 bits"
    assert not any(each.accelerator.startswith("a100") and "fp8" in each.dtype for each in report.plan.candidates)
    only = planned("gpt-oss-20b", gpu="h100-sxm", concurrency=8)
    assert only.plan.recommended
    assert only.plan.recommended.dtype.startswith("mxfp4"), "published in nothing that it multiplies"
    assert any("multiplied in 16 bits" in note.text for note in only.warnings)


def test_nothing_will_do() -> None:
    report = planned("llama-3.1-70b", gpu="h100-sxm,l4", tpot="1ms", concurrency=4)
    assert report.plan.recommended is None
    assert report.plan.candidates == []
    assert report.text[0].startswith("Nothing serves this within TPOT 1 ms")
    assert "% over 1 ms" in report.text[0]
    assert {each.accelerator for each in report.plan.near_misses} == {"h100-sxm", "l4"}
    small = planned("llama-3.1-405b", gpu="l4", max_gpus=2)
    assert small.plan.recommended is None
    assert small.plan.near_misses[0].reason == "memory"
    assert set(small.plan.rejected) == {"memory"}


def test_ties_are_named() -> None:
    report = planned("llama-3.1-8b", gpu="h100-sxm", concurrency=8, dtype="bf16", max_gpus=1)
    assert len(report.plan.candidates) == 1
    assert not report.plan.candidates[0].tied
    both = planned("llama-3.1-8b", gpu="h100-sxm,h200-sxm", concurrency=64, dtype="bf16", max_gpus=1)
    dollars = [each.usd_per_million_output_tokens for each in both.plan.candidates]
    assert [each.tied for each in both.plan.candidates] == [False, dollars[1] <= dollars[0] * band()]
    assert any("so a tie" in line for line in both.text) == (dollars[1] <= dollars[0] * band())
    unpriced = planned("llama-3.1-8b", gpu="mi355x", concurrency=64, dtype="bf16", max_gpus=2)
    assert unpriced.plan.candidates
    assert not any(each.tied for each in unpriced.plan.candidates), "nothing to compare"


def band() -> float:
    return float(np.exp(BAND * engine_default("ratio_spread")))


def test_very_many_requests_are_few_replays() -> None:
    report = planned("llama-3.1-8b", gpu="h100-sxm", concurrency=5000, max_gpus=8, dtype="fp8")
    assert report.plan.candidates
    single = planned("llama-3.1-8b", gpu="h100-sxm", output_len=1, concurrency=4, max_gpus=1, dtype="fp8")
    assert single.plan.recommended
    assert single.plan.recommended.ttft_seconds > 0


def test_layouts() -> None:
    moe = load_model("qwen3-30b-a3b").spec
    found = layouts(moe, 16, 8, fast_links=True)
    assert len(set(found)) == len(found)
    for plan_ in found:
        plan_.check_against(moe)
        assert plan_.num_gpus <= 16
        assert plan_.tp <= 8
        assert plan_.ep in (1, plan_.tp * plan_.dp)
    dense = layouts(load_model("llama-3.1-8b").spec, 8, 1, fast_links=False)
    assert {(each.tp, each.pp, each.dp) for each in dense} == {(1, 1, 1), (1, 2, 1), (1, 4, 1), (1, 8, 1)}
    assert replica_counts(8) == [1, 2, 3, 4, 6, 8]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=30))
def test_fronts(points: list[tuple[int, int, int]]) -> None:
    found = on_front(points, lambda point: point)
    assert {*found} == {one for one in points if not any(beats(other, one) for other in points)}
    assert len({*found}) == len(found)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--gpu", "h900"), "unknown accelerator"),
        (("--concurrency", "4", "--rate", "2"), "are both given"),
        (("--concurrency", "0"), "--concurrency is 0"),
        (("--gpu", "2xh100"), "has a number of devices"),
        (("--max-gpus", "0"), "--max-gpus is 0"),
        (("--max-gpus", "99999"), "between 1 and 4,096"),
        (("--rate", "-1"), "--rate is -1"),
        (("--budget", "0"), "--budget is 0"),
        (("--tpot", "fast"), "--tpot is"),
        (("--sort", "price"), "--sort is"),
        (("--engine", "llama.cpp"), "no plan for"),
        (("--prompt-len", "0"), "prompt length is 0"),
    ],
)
def test_bad_input(options: tuple[str, ...], text: str, quick_run: Any) -> None:
    found: Run = quick_run("plan", "llama-3.1-8b", *options)
    assert found.rc == 2
    assert text in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_command(quick_run: Any) -> None:
    options = ("--gpu", "h100-sxm,l40s", "--concurrency", "16", "--tpot", "30ms", "--prompt-len", "500")
    found = quick_run("plan", "llama-3.1-8b", *options, "--output-len", "100", "--json").json
    assert found["command"] == "plan"
    found = found["plan"]
    assert found["recommended"] == found["candidates"][0]
    keys = {"model", "accelerator", "num_gpus", "tp", "ep", "pp", "dp", "replicas", "dtype", "batch_size", "fits"}
    keys |= {"tpot_seconds", "ttft_seconds", "output_tokens_per_second", "usd_per_hour", "on_front", "command"}
    assert keys | {"usd_per_million_output_tokens"} <= set(found["candidates"][0])
    assert sum(found["rejected"].values()) + len(found["candidates"]) == found["searched"]
    table = quick_run("plan", "llama-3.1-8b", *options, "--output-len", "100").stdout
    first = table.splitlines()[0]
    assert first.startswith("Run llama-3.1-8b in ")
    assert "under 30 ms" in first
    assert "what binds" in first
    rows = quick_run("plan", "llama-3.1-8b", *options, "--output-len", "100", "-f", "csv").stdout.splitlines()
    assert len(rows) == 1 + len(found["candidates"])


def test_every_priced_accelerator_is_searched() -> None:
    asked = plan_asked(concurrency=1)
    names = [each.id for each in asked.question.devices.accelerators]
    assert {"h100-sxm", "mi300x", "l4", "rtx-4090"} <= set(names)
    assert not {"epyc-9654", "tpu-v5e", "inferentia2", "v100-sxm2-16gb"} & set(names)
    assert all(each.usd_per_hour for each in asked.question.devices.accelerators)
    trt = plan_asked(concurrency=1, engine="trtllm").question.devices.accelerators
    assert all(each.vendor == "NVIDIA" for each in trt)
    with pytest.raises(InputError):
        plan_asked(gpu="")


def test_a_context_is_prompt_and_answer() -> None:
    told = plan_asked(context_len=8192, output_len=1024, gpu="h100-sxm")
    assert (told.question.requests.prompt_len, told.question.requests.output_len) == (7168, 1024)
    for wrong in ({"prompt_len": 10}, {"output_len": 8192}):
        with pytest.raises(InputError, match="--context"):
            plan_asked(context_len=8192, gpu="h100-sxm", **wrong)
