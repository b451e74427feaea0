"""`show --test`: tests as llama-bench names them, timed by the same steps as everything else."""

import json

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.bench_tests import BenchTest, as_llama_bench, bench_test, bench_tests
from sparsecalc.core.errors import InputError
from sparsecalc.decide.bench_tests import test_times as times_of
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.question import ask
from sparsecalc.documents.show import TestTime as Timed
from sparsecalc.estimate.serving import chunks

MODEL = ("show", "llama-3.1-8b", "--dtype", "q4_k", "--gpu", "rtx-4090", "--engine", "llama.cpp")
COUNTS = st.integers(0, 2**30)


def timed(text: str, model: str = "llama-3.1-8b+q4_k", **asked: object) -> list[Timed]:
    variant = load_variant(model)
    question = ask(gpu="rtx-4090", engine="llama.cpp", test=text, **asked)  # type: ignore[arg-type]
    return times_of(variant.model, variant.precision, question)


@given(COUNTS, COUNTS, COUNTS)
def test_names_are_read_back(prompt: int, answer: int, depth: int) -> None:
    test = BenchTest(prompt_len=prompt, output_len=answer, depth=depth)
    if prompt + answer:
        assert bench_test(test.name) == test
        assert bench_test(test.name.upper().replace("@", " @ ")) == test


@given(st.text("ptgd@+, 0123456789", max_size=20))
def test_any_text_is_tests_or_refused(text: str) -> None:
    try:
        found = bench_tests(text)
    except InputError:
        return
    assert all(0 < test.prompt_len + test.output_len <= 2**31 for test in found)


def test_llama_benchs_own_options() -> None:
    assert as_llama_bench([512], [128], [0, 4096], None) == "pp512,tg128,pp512@d4096,tg128@d4096"
    assert as_llama_bench(None, [0], [0], (2048, 256)) == "pp512,pp2048+tg256"


def test_depth_is_what_the_cache_holds() -> None:
    first, second = chunks(700, 512, depth=4096)
    assert (first.past, first.new_tokens, second.past, second.new_tokens) == (4096, 512, 4608, 188)
    shallow, deep = timed("tg128,tg128@d65536")
    assert deep.tokens_per_second < shallow.tokens_per_second
    assert deep.bound == "kv_cache"
    shallow, deep = timed("pp512,pp512@d16384")
    assert deep.tokens_per_second < 0.7 * shallow.tokens_per_second


def test_an_answer_is_the_mean_of_its_steps() -> None:
    (found,) = timed("tg37@d1000")
    variant = load_variant("llama-3.1-8b+q4_k")
    question = ask(gpu="rtx-4090", engine="llama.cpp")
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    steps = [deployed.step([deployed.decode(1000 + place, 1)]).seconds for place in range(1, 38)]
    assert found.seconds == pytest.approx(sum(steps), rel=1e-3)
    assert found.tokens_per_second == pytest.approx(37 / sum(steps), rel=1e-3)


def test_prompt_and_answer_together() -> None:
    prompt, answer, both = timed("pp2048,tg256@d2048,pp2048+tg256")
    assert both.seconds == pytest.approx(prompt.seconds + answer.seconds)
    assert both.tokens_per_second == pytest.approx(2304 / both.seconds)
    assert (prompt.bound, both.bound) == ("compute", "weights")


def test_a_batch_decodes_together_and_prefills_in_turn() -> None:
    one, four = (timed("pp512,tg32", batch_size=size) for size in (1, 4))
    assert four[0].tokens_per_second == pytest.approx(one[0].tokens_per_second)
    assert one[1].tokens_per_second < four[1].tokens_per_second < 4 * one[1].tokens_per_second


def test_guesses_that_are_accepted_count() -> None:
    (plain,), (guessed,) = timed("tg128"), timed("tg128", draft_tokens=3, acceptance=0.9)
    assert guessed.tokens_per_second > 2 * plain.tokens_per_second


def test_the_command(quick_run: Run) -> None:
    done = quick_run(*MODEL, "--test", "pp512, tg128 @ d8192", "--json")
    assert done.rc == 0, done.stderr
    prompt, answer = done.json["tests"]
    assert (prompt["test"], answer["test"]) == ("pp512", "tg128@d8192")
    assert prompt["tokens_per_second_low"] < prompt["tokens_per_second"] < prompt["tokens_per_second_high"]
    assert prompt["seconds"] == pytest.approx(512 / prompt["tokens_per_second"])
    assert answer["depth"] == 8192
    assert done.json["inputs"]["context_len"] == 8192 + 128, "what the longest test needs"
    table = quick_run(*MODEL, "-p", "512", "-n", "0", "-d", "0,4096").stdout
    assert "pp512 @ d4096" in table
    assert "tg128" not in table
    lines = quick_run(*MODEL[:-4], "--gpu", "rtx-4090,l40s", "--test", "tg8", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["accelerator"] for line in lines] == ["rtx-4090", "l40s"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--test", "pp"), "--test is 'pp'"),
        (("--test", "tg0"), "between 1 and 2^30"),
        (("--test", ""), "--test is ''"),
        (("--test", "pp512@4096"), "Examples: pp512"),
        (("--test", ",".join(["pp1"] * 65)), "at most 64"),
        (("--test", "pp512", "--context", "100"), "needs a context of 512"),
        (("--test", "pp512", "-p", "12"), "both are given"),
        (("-p", "0", "-n", "0"), "no test is left"),
        (("-n", "-3"), "0 or more"),
        (("-pg", "3"), "-pg 2048,256"),
    ],
)
def test_bad_tests_are_one_line(quick_run: Run, options: tuple[str, ...], said: str) -> None:
    done = quick_run(*MODEL, *options)
    assert done.rc == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_tests_need_an_accelerator(quick_run: Run) -> None:
    done = quick_run("show", "llama-3.1-8b", "--test", "pp512")
    assert (done.rc, "no accelerator is named" in done.stderr) == (2, True)
