"""`simulate`, as users call it: traffic, traces, targets, rates, and the same truth as `show`."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.decide.simulate import simulate
from sparsecalc.decide.simulation_question import asked_of
from sparsecalc.decide.targets import seconds_of
from sparsecalc.decide.traffic import lengths_of
from sparsecalc.library.traffic_files import read_trace

Run = Callable[..., Any]
ON = {"gpu": "h100-sxm", "engine": "vllm"}


def simulated(model: str = "llama-3.1-8b", *, on: dict[str, Any] | None = None, **given: Any) -> Any:
    asked = asked_of(given)
    return simulate([model], ask(**{**ON, **asked.traffic.question_options, **(on or {})}), asked).models[0]


def test_the_contract(quick_run: Run) -> None:
    options = ("--gpu", "h100-sxm", "--rate", "5", "--requests", "200", "--slo", "ttft=1s,tpot=50ms", "--json")
    found = quick_run("simulate", "llama-3.1-8b", "qwen3-30b-a3b", *options).json
    for model in found["models"]:
        figures = model["simulation"]
        for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds", "queue_seconds", "itl_seconds"):
            assert figures[name]["p50"] <= figures[name]["p90"] <= figures[name]["p99"]
        assert figures["requests"] == 200
        assert figures["output_tokens_per_second"] > 0
        assert 0 <= figures["goodput_share"] <= 1
        assert 0 < figures["kv_cache_usage_peak"] <= 1
        assert figures["usd_per_million_output_tokens"] > 0
        assert len(figures["timeline"]) == 60
    assert found["ratios"][0]["tpot_seconds"] == 1
    assert found["inputs"]["requests"] == 200


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", None])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b"])
def test_show_takes_its_figures_from_the_same_replay(model: str, engine: str | None) -> None:
    loop = {"concurrency": 16, "prompt_len": 1024, "output_len": 256}
    served = show(model, ask(gpu="h100-sxm", engine=engine, **loop)).prediction
    assert served is not None
    assert served.serving is not None
    given = {name: str(value) if "len" in name else value for name, value in loop.items()}
    replayed = simulated(model, on={"engine": engine}, **given).simulation
    assert served.serving.tpot_seconds == pytest.approx(replayed.tpot_seconds.mean)
    assert served.serving.ttft_seconds == pytest.approx(replayed.ttft_seconds.mean)
    assert served.serving.output_tokens_per_second == pytest.approx(replayed.output_tokens_per_second)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", None])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v2-lite", "gemma-3-27b", "qwen3-next-80b-a3b"])
def test_one_request_at_a_time_is_an_idle_server(model: str, engine: str | None) -> None:
    loop = {"concurrency": 1, "prompt_len": 4096, "output_len": 256}
    idle = show(model, ask(gpu="h200-sxm", num_gpus=2, engine=engine, **loop)).prediction.serving  # type: ignore[union-attr]
    lengths = {"prompt_len": "4096~0", "output_len": "256~0"}
    found = simulated(
        model, on={"gpu": "h200-sxm", "num_gpus": 2, "engine": engine}, concurrency=1, **lengths
    ).simulation
    assert idle is not None
    assert found.tpot_seconds.mean == pytest.approx(idle.tpot_seconds, rel=0.01)
    assert found.ttft_seconds.mean == pytest.approx(idle.ttft_seconds, rel=0.01)
    assert found.output_tokens_per_second == pytest.approx(idle.output_tokens_per_second, rel=0.01)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v2-lite", "gpt-oss-20b"])
def test_a_mixed_step_costs_what_the_step_model_says(model: str) -> None:
    from sparsecalc.core.workload import Workload
    from sparsecalc.decide.deploy import deploy
    from sparsecalc.decide.model_name import load_variant
    from sparsecalc.estimate.replay.step_costs import StepCosts

    question = ask(**ON)
    variant = load_variant(model)
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    costs = StepCosts(deployed, None, most_tokens=4096, most_sequences=256, longest=8192)
    for batch, context, new, past in ((16, 1024, 512, 0), (100, 3000, 2048, 2048), (1, 200, 17, 333)):
        works = [Workload.decode(context, batch), Workload.prefill(past + new, logits="last").but(new_tokens=new)]
        seconds, tokens = costs.local(batch, context, [(new, past)])
        assert seconds + costs.experts.at(tokens) == pytest.approx(deployed.step(works).seconds, rel=0.02)


def test_per_request_times_add_up(quick_run: Run, tmp_path: Path) -> None:
    target = tmp_path / "times.csv"
    options = ("--gpu", "h100-sxm", "--rate", "20", "--requests", "300", "--per-request", str(target), "--json")
    found = quick_run("simulate", "llama-3.1-8b", *options).json["models"][0]["simulation"]
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [int(row["request"]) for row in rows] == list(range(300))
    tokens = sum(int(row["output_tokens"]) for row in rows)
    assert found["output_tokens_per_second"] * found["duration_seconds"] == pytest.approx(tokens)
    for row in rows:
        spent = float(row["ttft_seconds"]) + float(row["tpot_seconds"]) * (int(row["output_tokens"]) - 1)
        assert float(row["e2e_seconds"]) == pytest.approx(spent)
    lines = tmp_path / "times.jsonl"
    quick_run("simulate", "llama-3.1-8b", *options[:-2], str(lines), "--json")
    assert [json.loads(line)["request"] for line in lines.read_text().splitlines()] == list(range(300))


def test_seeds() -> None:
    first, same, other = (simulated(rate=10, requests=100, seed=seed) for seed in (1, 1, 2))
    assert first == same != other


TRACES = {
    "ours.csv": "arrival_s,prompt_tokens,output_tokens\n0.5,100,10\n1.5,200,20\n",
    "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:15:46.6805900,100,10\n2023-11-16 18:15:47.6805900,200,20\n",
    "burstgpt.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,100,10,110,Conversation log\n5.5,ChatGPT,7,0,7,API log\n6,GPT-4,200,20,220,API log\n",
    "mooncake.jsonl": '{"timestamp": 1000, "input_length": 100, "output_length": 10, "hash_ids": [1]}\n'
    '{"timestamp": 2000, "input_length": 200, "output_length": 20, "hash_ids": [2]}\n',
    "ours.jsonl": '{"arrival_s": 3, "prompt_tokens": 100, "output_tokens": 10}\n\n'
    '{"arrival_s": 4, "prompt_tokens": 200, "output_tokens": 20}\n',
}


@pytest.mark.parametrize("name", TRACES)
def test_traces(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(TRACES[name])
    arrivals, prompts, outputs = read_trace(str(path), None, 100)
    assert arrivals.tolist() == pytest.approx([0.0, 1.0])
    assert (prompts.tolist(), outputs.tolist()) == ([100, 200], [10, 20])
    assert simulated(trace=str(path)).simulation.requests == 2


BAD_TRACES = {
    "": "empty",
    "arrival_s,prompt_tokens,output_tokens\n": "no request",
    "a,b\n1,2\n": "has no arrival_s and no prompt_tokens and no output_tokens",
    "arrival_s,prompt_tokens,output_tokens\n-1,10,10\n": "arrives at -1",
    "arrival_s,prompt_tokens,output_tokens\n2,10,10\n1,10,10\n": "before the one above",
    "arrival_s,prompt_tokens,output_tokens\nnan,10,10\n": "for its arrival",
    "arrival_s,prompt_tokens,output_tokens\n1,x,10\n": "number of tokens",
    "arrival_s,prompt_tokens,output_tokens\n1,0,10\n": "0 prompt",
    "arrival_s,prompt_tokens,output_tokens\n1,1e300,10\n": "number of tokens",
    "arrival_s,prompt_tokens,output_tokens\n1,10\n": "number of tokens|no output_tokens",
    '{"arrival_s": 1}\n': "has no prompt_tokens",
    "{]\n": "not JSON",
    '{"a": 1}\n[1]\n': "no arrival_s|not a JSON object",
}


@pytest.mark.parametrize("text", BAD_TRACES)
def test_a_trace_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=BAD_TRACES[text]) as error:
        read_trace(str(path), None, 100)
    assert "\n" not in str(error.value)


def test_a_trace_is_read_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(
        "arrival_s,prompt_tokens,output_tokens\n" + "".join(f"{at},10,5\n" for at in range(1000)) + "broken\n"
    )
    assert len(read_trace(str(path), 50, 500)[0]) == 50
    with pytest.raises(InputError, match="more than 500 requests"):
        read_trace(str(path), None, 500)
    with pytest.raises(InputError, match="no such trace"):
        read_trace(str(tmp_path / "none.csv"), None, 500)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00arrival")
    with pytest.raises(InputError, match="not a text file"):
        read_trace(str(binary), None, 500)


def test_lengths(tmp_path: Path) -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    even = lengths_of("1000~0.2", "--prompt-len", 1).drawn(1001, generator)
    assert (even.min(), even.max(), even.sum()) == (800, 1200, 1000 * 1001)
    assert set(lengths_of("1k~0", "--prompt-len", 1).drawn(5, generator)) == {1024}
    lognormal = lengths_of("lognormal:500:0.8", "--prompt-len", 1).drawn(10_000, generator)
    assert lognormal.mean() == pytest.approx(500, rel=0.01)
    assert np.log(lognormal).std() == pytest.approx(0.8, rel=0.02)
    path = tmp_path / "lengths"
    path.write_text("10\n20\n30\n")
    listed = lengths_of(str(path), "--prompt-len", 1)
    assert (listed.mean, set(listed.drawn(100, generator))) == (20, {10, 20, 30})
    path.write_text("10\n-3\n")
    with pytest.raises(InputError, match="line 2"):
        lengths_of(str(path), "--prompt-len", 1)


BAD = (
    {},
    {"rate": 0},
    {"rate": -1},
    {"rate": float("nan")},
    {"rate": float("inf")},
    {"rate": 1, "concurrency": 2},
    {"concurrency": 0},
    {"concurrency": 2**31},
    {"rate": 1, "requests": 0},
    {"rate": 1, "requests": 10**8},
    {"rate": 1, "prompt_len": "many"},
    {"rate": 1, "prompt_len": "10~2"},
    {"rate": 1, "prompt_len": "lognormal:10"},
    {"rate": 1, "prompt_len": "1.5"},
    {"rate": 1, "prompt_len": "nan"},
    {"rate": 1, "prompt_len": "inf"},
    {"rate": 1, "output_len": "0"},
    {"rate": 1, "seed": -1},
    {"rate": 1, "slo": "ttft"},
    {"rate": 1, "slo": "ttft=0"},
    {"rate": 1, "slo": "speed=1s"},
    {"rate": 1, "slo": "ttft=1s,ttft=2s"},
    {"find_rate": True},
    {"find_rate": True, "slo": "ttft=1s", "attained": 0.0},
    {"rate": 1, "router": "fastest"},
    {"rate": 1, "disaggregate": "2"},
    {"rate": 1, "disaggregate": "0:2"},
    {"rate": 1, "disaggregate": "1:1", "replicas": 2},
    {"rate": 1, "replicas": 10**6},
    {"rate": 1, "prefix_hit_share": 1.0},
    {"trace": "x", "prompt_len": "10"},
)


@pytest.mark.parametrize("given", BAD, ids=str)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        asked_of(given)


def test_a_request_that_no_cache_holds_is_refused() -> None:
    with pytest.raises(InputError, match="does not fit"):
        simulated("llama-3.1-70b", rate=1, requests=10)


def test_refusals_are_one_line(quick_run: Run) -> None:
    for bad in (("--rate", "0"), ("--rate", "1", "--slo", "x"), ("--trace", "/none.csv"), ()):
        found = quick_run("simulate", "llama-3.1-8b", "--gpu", "h100-sxm", *bad)
        assert (found.rc, found.stdout, found.stderr.count("\n")) == (2, "", 1)


def test_times() -> None:
    assert [seconds_of(text, "x") for text in ("50ms", "1.5 s", "2", "1min", "100us")] == pytest.approx(
        [0.05, 1.5, 2, 60, 1e-4]
    )


def test_the_highest_rate_keeps_the_targets_and_more_does_not() -> None:
    asked = {"slo": "ttft=300ms,tpot=25ms", "requests": 300}
    found = simulated(find_rate=True, **asked)
    assert found.highest_rate > 1
    assert found.simulation.goodput_share >= 0.99
    over = simulated(rate=found.highest_rate * 1.1, **asked).simulation
    assert over.goodput_share < 0.99
    looser = simulated(find_rate=True, slo="ttft=1s,tpot=40ms", requests=300)
    assert looser.highest_rate > found.highest_rate


def test_targets_that_nothing_meets_get_a_plain_answer() -> None:
    found = simulated(find_rate=True, slo="tpot=1us", requests=50)
    assert found.highest_rate is None
    assert "not even an idle server" in found.why


def test_two_servers_carry_twice_the_rate() -> None:
    asked = {"slo": "ttft=300ms,tpot=25ms", "requests": 600, "find_rate": True}
    one, two = (simulated(replicas=replicas, **asked) for replicas in (1, 2))
    assert two.num_gpus == 2
    assert two.highest_rate == pytest.approx(2 * one.highest_rate, rel=0.25)


def test_separate_pools_keep_prompts_from_decoding() -> None:
    load = {"rate": 10, "requests": 200, "prompt_len": "4096", "output_len": "256"}
    together, apart = simulated(replicas=2, **load).simulation, simulated(disaggregate="1:1", **load).simulation
    assert apart.itl_seconds.p99 < together.itl_seconds.p99


def test_a_prefix_cache_and_drafts_spare_time() -> None:
    load = {"rate": 5, "requests": 100, "prompt_len": "4096"}
    plain = simulated(**load).simulation
    assert simulated(prefix_hit_share=0.9, **load).simulation.ttft_seconds.mean < 0.5 * plain.ttft_seconds.mean
    drafted = simulated(on={"draft_tokens": 3, "acceptance": 0.8}, **load).simulation
    assert drafted.tpot_seconds.mean < 0.6 * plain.tpot_seconds.mean


@pytest.mark.parametrize(
    "on",
    [{"tp": 2, "num_gpus": 2}, {"pp": 2, "num_gpus": 2}, {"dp": 2, "num_gpus": 2}, {"dp": 2, "ep": 2, "num_gpus": 2}],
    ids=str,
)
def test_every_placement_is_replayed(on: dict[str, Any]) -> None:
    model = "qwen3-30b-a3b" if "ep" in on else "llama-3.1-8b"
    found = simulated(model, on=on, concurrency=32, output_len="128").simulation
    alone = simulated(model, concurrency=32, output_len="128").simulation
    assert found.output_tokens_per_second > 0.9 * alone.output_tokens_per_second
    assert found.requests == 320


def test_a_list_of_rates_is_a_row_each(quick_run: Run) -> None:
    options = ("--gpu", "h100-sxm", "--rate", "1,5,10,20", "--requests", "100")
    found = quick_run("simulate", "llama-3.1-8b", *options, "--json").json["models"]
    assert [model["rate"] for model in found] == [1, 5, 10, 20]
    e2e = [model["simulation"]["e2e_seconds"]["mean"] for model in found]
    assert e2e == sorted(e2e)
    assert len(quick_run("simulate", "llama-3.1-8b", *options).stdout.strip().splitlines()) == 5
    assert found[1]["simulation"] == simulated(on={"engine": None}, rate=5, requests=100).simulation.to_dict()
    for bad in ("1,x", "1,0", ",".join("1" * 300)):
        with pytest.raises(InputError):
            asked_of({"rate": bad})


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_the_mean_time_between_tokens_is_that_per_token(engine: str) -> None:
    for drafts in ({}, {"draft_tokens": 2, "acceptance": 0.7}):
        found = simulated(on={"engine": engine, **drafts}, concurrency=16, prompt_len="2048").simulation
        assert found.itl_seconds.mean == pytest.approx(found.tpot_seconds.mean, rel=0.03)


def test_several_accelerators_are_a_replay_each(quick_run: Run, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    options = ("--gpu", "h100-sxm,l40s", "--rate", "1,2", "--requests", "20", "--per-request", str(target))
    found = quick_run("simulate", "llama-3.1-8b", *options, "--json").json
    assert [(model["accelerator"], model["rate"]) for model in found["models"]] == [
        ("h100-sxm", 1.0),
        ("h100-sxm", 2.0),
        ("l40s", 1.0),
        ("l40s", 2.0),
    ]
    assert found["ratios"][2]["tpot_seconds"] > 1
    assert len(target.read_text().splitlines()) == 81


def test_what_people_read(quick_run: Run) -> None:
    options = ("--gpu", "h100-sxm", "--find-rate", "--slo", "tpot=30ms", "--requests", "100")
    text = quick_run("simulate", "llama-3.1-8b", *options).stdout
    for words in ("time to first token (TTFT)", "highest rate that keeps the targets", "preemptions", "p99"):
        assert words in text
    page = quick_run(
        "simulate", "llama-3.1-8b", "qwen2.5-7b", "--gpu", "h100-sxm", "--rate", "3", "-f", "markdown"
    ).stdout
    assert "over llama-3.1-8b" in page
