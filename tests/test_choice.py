"""`compare` on accelerators: the answer in the first line, and what the choice depends on in the last."""

from itertools import pairwise
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsecalc
from sparsecalc.decide.choice import LOADS
from sparsecalc.decide.crossover import crossover
from sparsecalc.decide.question import ask

PAIR = ["mixtral-8x7b", "llama-2-13b"]


def test_the_first_line_is_the_answer_and_the_last_what_it_depends_on(quick_run: Run) -> None:
    found = quick_run("compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100-sxm", "--num-gpus", 4)
    lines = found.stdout.splitlines()
    assert lines[0].startswith("mixtral-8x7b is cheaper on 4 x h100-sxm with 1 request in flight: ")
    assert lines[0].endswith("x of llama-2-70b.")
    assert lines[-1].startswith("On 4 x h100-sxm mixtral-8x7b is cheaper and faster at every load")
    document = quick_run("compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100-sxm", "--num-gpus", 4, "--json").json
    assert document["answer"] == lines[0]
    assert document["conclusion"][-1] == lines[-1]


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_other_formats_begin_with_it_too(form: str, quick_run: Run) -> None:
    text = quick_run("compare", *PAIR, "--gpu", "h100-sxm", "--num-gpus", 2, "-f", form).stdout
    assert text.index("with 1 request in flight") < text.index("<table" if form == "html" else "|:--|")


def test_without_an_accelerator_there_is_no_choice() -> None:
    found = sparsecalc.compare(PAIR)
    assert (found.answer, found.choices) == (None, [])


def test_a_model_is_not_chosen_over_itself() -> None:
    found = sparsecalc.compare(["qwen3-8b", "qwen3-8b"], gpu="h100-sxm")
    assert (found.answer, found.choices) == (None, [])


def test_what_does_not_fit_is_no_choice() -> None:
    assert (
        sparsecalc.compare(["mixtral-8x7b", "deepseek-v3"], gpu="h100-sxm").answer
        == "None of them fits on 1 x h100-sxm."
    )
    one = sparsecalc.compare(["llama-3.1-8b", "deepseek-v3"], gpu="h100-sxm")
    assert (one.answer, one.choices) == ("Only llama-3.1-8b fits on 1 x h100-sxm.", [])


def test_without_a_price_the_time_decides() -> None:
    found = sparsecalc.compare(["qwen3-4b", "llama-3.2-3b"], gpu="m4-max")
    assert [choice.cost for choice in found.choices] == ["seconds_per_output_token"]
    assert found.answer
    assert found.answer.startswith("llama-3.2-3b is faster on 1 x m4-max")


def test_a_grid_is_answered_point_by_point() -> None:
    found = sparsecalc.compare(PAIR, gpu="h100-sxm", num_gpus=2, batch_size=(1, 8, 64))
    cheapest = []
    for batch, (a, b) in zip((1, 8, 64), zip(*(model.grid for model in found.models), strict=True), strict=True):
        assert a.usd_per_million_output_tokens
        assert b.usd_per_million_output_tokens
        cheapest.append((PAIR[a.usd_per_million_output_tokens > b.usd_per_million_output_tokens], batch))
    assert found.answer
    for name, batch in cheapest:
        (own,) = [part for part in found.answer.split(": ", 1)[1].rstrip(".").split("; ") if part.startswith(name)]
        assert f"batch {batch}" in own.split(" at ")[1].split(", ")


def test_each_accelerator_has_its_own_choice() -> None:
    found = sparsecalc.compare(PAIR, gpu="h100-sxm,h200-sxm", num_gpus=2)
    assert [choice.accelerator for choice in found.choices] == ["h100-sxm", "h200-sxm"]
    assert {choice.num_gpus for choice in found.choices} == {2}


@pytest.mark.parametrize(("num_gpus", "context"), [(2, 1024), (2, 2048), (4, 4096)])
def test_the_change_is_where_crossover_finds_it(num_gpus: int, context: int) -> None:
    """By TPOT, whose change lies within a few per cent of that of the tokens per second of all."""
    question = ask(gpu="h100-sxm", num_gpus=num_gpus, context_len=context)
    (at,) = [one.at for one in crossover(*PAIR, of="time", question=question).crossings if one.cost == "tpot_seconds"]
    (choice,) = sparsecalc.compare(PAIR, gpu="h100-sxm", num_gpus=num_gpus, context_len=context).choices
    below, above = choice.ranges
    assert below.concurrency_high == pytest.approx(at, rel=0.1)
    assert below.concurrency_high < above.concurrency_low <= 1.05 * below.concurrency_high + 1


@settings(max_examples=12)
@given(
    st.lists(
        st.sampled_from(["llama-3.2-3b", "olmoe-1b-7b", "qwen3-8b", "qwen3-8b+int4", "gemma-3-4b"]),
        min_size=2,
        max_size=4,
        unique=True,
    ),
    st.sampled_from(["h100-sxm", "a100-80gb-sxm", "h200-sxm"]),
    st.sampled_from([1024, 8192]),
)
def test_the_ranges_cover_all_loads_with_the_least_cost(names: list[str], gpu: str, context: int) -> None:
    found = sparsecalc.compare(names, gpu=gpu, context_len=context)
    for choice in found.choices:
        ranges = choice.ranges
        assert (ranges[0].concurrency_low, ranges[-1].concurrency_high) == (LOADS[0], LOADS[-1])
        for below, above in pairwise(ranges):
            assert below.concurrency_high < above.concurrency_low
            assert below.model != above.model
        assert all(0 < one.ratio_low <= one.ratio_high <= 1 for one in ranges)
    priced: Any = {
        model.model.id: model.prediction.usd_per_million_output_tokens
        for model in found.models
        if model.prediction and model.prediction.fits
    }
    assert found.choices[0].ranges[0].model == min(priced, key=lambda name: priced[name])
