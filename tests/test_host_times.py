"""How long the host takes, what is said of it, and what happens where its memory is too small."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.workload import Workload
from sparsecalc.decide.asked_host import HostAsked
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.desk_host import offload_rows, offload_step
from sparsecalc.decide.host_report import host_notes, host_prediction
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.question import ask
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.host import host_default, host_rules
from sparsecalc.estimate.host_times import PAGES, SENT, VISITS
from sparsecalc.estimate.serving import chunks
from sparsecalc.estimate.step import Step

DESKTOP = "i9-14900k,ddr5-6000x2:64g"


def deployed(model: str = "qwen3-30b-a3b", gpu: str = "rtx-4090", engine: str = "llama.cpp", **told: Any) -> Deployment:
    question = ask(gpu=gpu, engine=engine, **{"host": DESKTOP, **told})
    variant = load_variant(model, "q4_k_m")
    return deploy(variant.model, variant.precision, question, question.devices.accelerators[0])


def seconds(model: Deployment, tokens: int = 1, context: int = 1024) -> float:
    work = model.decode(context, 1) if tokens == 1 else chunks(tokens, tokens)[0]
    return float(model.step([work]).seconds)


def part(step: Step, name: str) -> float:
    return sum(float(time.seconds) for time in step.times if time.kernel.name == name)


# --- which path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "tokens", "sent"),
    [
        ("llama.cpp", 1, False),
        ("llama.cpp", 31, False),
        ("llama.cpp", 32, True),
        ("ik_llama.cpp", 511, False),  # 32 tokens for each of 128 / 8
        ("ik_llama.cpp", 512, True),
        ("ktransformers", 4096, False),
    ],
)
def test_from_how_many_tokens_on_experts_are_sent(engine: str, tokens: int, sent: bool) -> None:
    model = deployed(engine=engine, cpu_moe=True)
    step = model.step([Workload.prefill(tokens)])
    on_host = sum(float(time.seconds) for time in step.times if time.kernel.name == "experts in host memory")
    assert (part(step, SENT) > 0) == sent
    assert (on_host > 0) == (not sent)


def test_only_used_experts_are_sent() -> None:
    """32 tokens reach 128 * (1 - (1 - 8 / 128) ** 32) = 111.8 of the experts, 512 all."""
    model = deployed(cpu_moe=True)
    few, many = (part(model.step([Workload.prefill(tokens)]), SENT) for tokens in (32, 4096))
    assert few / many == pytest.approx(1 - (1 - 8 / 128) ** 32, rel=1e-6)


def test_an_array_of_batches_takes_both_paths() -> None:
    model = deployed(n_cpu_moe=20)
    batches = np.array([1, 8, 31, 32, 64])
    together = model.step([model.decode(512, batches)]).seconds
    assert together == pytest.approx([float(model.step([model.decode(512, int(each))]).seconds) for each in batches])


def test_a_step_is_the_sum_of_its_parts_and_the_host_binds_it() -> None:
    step = deployed(cpu_moe=True).step([Workload.decode(1024)])
    assert sum(float(time.seconds) for time in step.times) == pytest.approx(float(step.seconds))
    assert step.bound == "host"
    assert part(step, VISITS) >= 48 * host_rules("llama.cpp", "cuda").visit_seconds


# --- monotone -----------------------------------------------------------------------------------------------------


@given(
    layers=st.integers(0, 48),
    more=st.integers(1, 48),
    tokens=st.sampled_from([1, 16, 512]),
    model=st.sampled_from(["qwen3-30b-a3b", "gpt-oss-20b"]),
)
@settings(max_examples=25)
def test_more_in_host_memory_is_no_faster(layers: int, more: int, tokens: int, model: str) -> None:
    near, far = (seconds(deployed(model, n_cpu_moe=count), tokens) for count in (layers, layers + more))
    assert far >= near * (1 - 1e-9)


@pytest.mark.parametrize("tokens", [1, 16, 512])
@pytest.mark.parametrize(
    ("slower", "faster"),
    [
        ({"host": "i9-14900k,ddr4-3200x2:64g"}, {"host": "i9-14900k,ddr5-6400x2:64g"}),
        ({"host": "i9-14900k,ddr5-6000x2:64g,pcie3x16"}, {"host": "i9-14900k,ddr5-6000x2:64g,pcie4x16"}),
        ({"host": "i9-14900k,pcie4x4"}, {"host": "i9-14900k,pcie4x16"}),
        ({"threads": 2}, {"threads": 8}),
        ({"threads": 8}, {"threads": 24}),
        ({"gpu": "rtx-3090"}, {"gpu": "rtx-5090"}),
    ],
)
def test_better_hosts_are_no_slower(slower: dict[str, Any], faster: dict[str, Any], tokens: int) -> None:
    assert seconds(deployed(cpu_moe=True, **slower), tokens) >= seconds(deployed(cpu_moe=True, **faster), tokens)


def test_threads_beyond_the_cores_change_nothing() -> None:
    assert seconds(deployed(cpu_moe=True, threads=500)) == seconds(deployed(cpu_moe=True))


def test_a_cpu_alone_has_threads_and_no_layers_elsewhere(run: Run) -> None:
    command = ("show", "llama-3.1-8b", "--dtype", "q4_k", "--gpu", "ryzen-7950x", "--engine", "llama.cpp", "--json")
    few, every = (json.loads(run(*command, "-t", count, "-ngl", "5").stdout) for count in ("2", "16"))
    assert few["prediction"]["prefill"]["seconds"] > 4 * every["prediction"]["prefill"]["seconds"]
    assert few["prediction"]["decode"]["seconds"] > every["prediction"]["decode"]["seconds"]
    assert any("change nothing" in note["text"] for note in few["warnings"])


def test_cards_take_turns_at_one_token_and_overlap_over_a_prompt() -> None:
    """4 chunks on 2 cards, 17 of 33 layers on the first; a token passes both; with layers on the host none overlap."""
    one, two = deployed("llama-3.1-8b"), deployed("llama-3.1-8b", num_gpus=2, tensor_split="33,33")
    parts = chunks(2048, 512)
    assert seconds(two) == pytest.approx(seconds(one), rel=0.01)
    share = 17 / 33 * host_default("stage_factor")
    assert float(two.prompt(parts).seconds) == pytest.approx(
        sum(seconds_of(two, chunk) for chunk in parts) * (1 + 3 * share) / 4
    )
    apart = deployed("llama-3.1-8b", num_gpus=2, n_gpu_layers=20)
    assert float(apart.prompt(parts).seconds) == pytest.approx(sum(seconds_of(apart, chunk) for chunk in parts))


def seconds_of(model: Deployment, work: Workload) -> float:
    return float(model.step([work]).seconds)


# --- memory that is too small ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_read_from_disk() -> None:
    small, large = (deployed(cpu_moe=True, host=f"i9-14900k,ddr5-6000x2:{size}g") for size in (12, 64))
    load = ask(gpu="rtx-4090").load
    steps = [model.step([model.decode_of(load)]) for model in (small, large)]
    assert part(steps[1], PAGES) == 0
    found = host_prediction(small, load, steps[0])
    assert found
    kept = 12 * 2**30 - int(host_default("kept_free_bytes"))
    assert (found.usable_bytes, found.paged_bytes) == (kept, found.weights_bytes + found.kv_cache_bytes - kept)
    rows = small.model.ops(Workload())
    experts = rows.sum(small.precision.used_weight_bytes, lambda op: op.kind == "experts")
    share = found.paged_bytes / (found.paged_bytes + kept)
    assert found.paged_seconds_per_token == pytest.approx(
        experts * 8 / 128 * share / host_default("disk_bytes_per_second"), rel=0.01
    )
    assert any(note.code == "host-memory" for note in host_notes(small, found, HostAsked()))


def report(run: Run, *options: str) -> dict[str, Any]:
    found = run(
        "show", "deepseek-v3", "--dtype", "q4_k", "--gpu", "rtx-4090", "--engine", "llama.cpp", "--json", *options
    )
    assert found.rc == 0, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def test_experts_that_a_desktop_has_no_memory_for_do_not_fit(run: Run) -> None:
    document = report(run, "-cmoe", "--host", DESKTOP)
    prediction = document["prediction"]
    assert prediction["fits"] is False
    assert prediction["gpus_needed"] > 1
    assert prediction["decode"]["tokens_per_second"] < 2
    assert prediction["host"]["paged_bytes"] > 300 * 2**30
    assert prediction["host_memory_bytes"] == prediction["host"]["weights_bytes"] + prediction["host"]["kv_cache_bytes"]
    (note,) = [note for note in document["warnings"] if note["code"] == "host-memory"]
    assert "read from disk" in note["text"]
    assert "does-not-fit" not in {note["code"] for note in document["warnings"]}, "the device holds its part"


def test_the_usual_memory_of_a_server_is_not_what_it_must_have(run: Run) -> None:
    """It is said not to fit, in the seconds of a host that holds it; a size that is told is one."""
    usual, told = (report(run, "-cmoe", "--host", name) for name in ("xeon-8352y", "xeon-8352y,256g"))
    for document in (usual, told):
        assert document["prediction"]["fits"] is False
        assert document["prediction"]["host"]["paged_bytes"] > 100 * 2**30
    assert usual["prediction"]["host"]["paged_seconds_per_token"] == 0
    assert told["prediction"]["host"]["paged_seconds_per_token"] > 0.5
    assert any("Say how much this one has" in note["text"] for note in usual["warnings"])


def test_what_fits_needs_no_more_devices(run: Run) -> None:
    document = report(run, "-cmoe", "--host", "epyc-9654")
    prediction = document["prediction"]
    assert (prediction["fits"], prediction["gpus_needed"], prediction["host"]["paged_bytes"]) == (True, 1, 0)
    assert (prediction["host"]["gpu_layers"], prediction["host"]["num_layers"]) == (62, 62)
    assert prediction["host"]["expert_layers_on_host"] == 58
    assert document["inputs"]["host"] == "epyc-9654"
    assert document["inputs"]["cpu_moe"] is True


def test_a_host_that_nobody_named_is_said(run: Run) -> None:
    notes = {note["code"]: note["text"] for note in report(run, "-cmoe")["warnings"]}
    assert "no --host is named" in notes["host"]
    assert "override-unmatched" not in notes
    notes = {note["code"]: note["text"] for note in report(run, "-ot", "nothing_like_it=CPU")["warnings"]}
    assert "matches no tensor" in notes["override-unmatched"]
    assert "host" not in notes, "nothing is computed there"


def test_a_dense_model_has_no_experts_to_move(run: Run) -> None:
    found = run("show", "llama-3.1-8b", "--gpu", "rtx-4090", "--engine", "llama.cpp", "-cmoe", "--json")
    assert any("has no experts" in note["text"] for note in json.loads(found.stdout)["warnings"])


def test_a_chip_with_both_has_one_memory() -> None:
    """What lies with the CPU of a chip takes the same memory."""
    model = deployed(gpu="m4-max", host=None, n_gpu_layers=10)
    assert model.placement.host
    assert model.placement.host.is_shared
    assert model.placement.host.memory_bytes_per_second <= model.gpu.memory_bytes_per_second


def test_two_sockets_have_the_rate_of_one() -> None:
    one, two = (deployed(cpu_moe=True, host=name).placement.host for name in ("epyc-9654", "2xepyc-9654"))
    assert one
    assert two
    assert two.memory_bytes_per_second == one.memory_bytes_per_second
    assert (two.capacity_bytes or 0) == 2 * (one.capacity_bytes or 0)
    assert any("sockets" in note for note in two.notes)


def test_measured_rows_with_a_part_in_host_memory_are_predicted() -> None:
    """Each has a placement with something in host memory; how far off they are tools/fit_host.py prints."""
    rows = offload_rows()
    assert len(rows) >= 10
    for row in rows:
        step, plan = offload_step(row)
        assert float(step.seconds) > 0
        assert plan.places
        assert plan.places.computes_on_host
