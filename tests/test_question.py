"""The question: options are checked once and become parts, defaults filled in."""

from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.decide.question import Offload, Parallelism, ask
from sparsecalc.estimate.load import Load, Requests


def test_nothing_asked_is_one_sequence_of_the_usual_context() -> None:
    question = ask()
    assert question.load == Load(batch_size=1, context_len=4096, max_num_batched_tokens=8192)
    assert question.requests == Requests(prompt_len=4096 - 512, output_len=512, concurrency=1)
    assert question.grid.batch_sizes == (1,)
    assert question.grid.context_lens == (4096,)
    assert question.hardware is None


@pytest.mark.parametrize(
    ("given", "context", "prompt", "output"),
    [
        ({"context_len": 1000}, 1000, 1000 - 250, 250),  # an answer is at most a quarter of the context
        ({"context_len": 1}, 1, 1, 1),
        ({"context_len": 1000, "prompt_len": 900}, 1000, 900, 100),  # and at most what the prompt leaves
        ({"context_len": 1000, "output_len": 10}, 1000, 990, 10),
        ({"prompt_len": 300, "output_len": 40}, 340, 300, 40),  # prompt and answer make the context
        ({"prompt_len": 300}, 4096, 300, 512),
        ({"prompt_len": 9000}, 9001, 9000, 1),
        ({"output_len": 40}, 4096, 4056, 40),
    ],
)
def test_context_prompt_and_answer_follow_from_each_other(
    given: dict[str, Any], context: int, prompt: int, output: int
) -> None:
    question = ask(**given)
    assert question.load.context_len == context
    assert (question.requests.prompt_len, question.requests.output_len) == (prompt, output)


def test_lists_make_a_grid_and_the_first_of_each_is_shown() -> None:
    question = ask(batch_size=(8, 64), context_len=[1024, 32768], gpu="h100-sxm,l40s")
    assert (question.load.batch_size, question.load.context_len) == (8, 1024)
    assert question.grid.batch_sizes == (8, 64)
    assert question.grid.context_lens == (1024, 32768)
    assert [gpu.id for gpu in question.devices.accelerators] == ["h100-sxm", "l40s"]
    assert question.requests.concurrency == 8


def test_another_point_keeps_or_fills() -> None:
    question = ask(batch_size=4, concurrency=6, prompt_len=100, output_len=20)
    wider = question.at(batch_size=9)
    assert wider.load.batch_size == wider.requests.concurrency == 9
    assert wider.requests.prompt_len == 100
    longer = question.at(context_len=2000)
    assert longer.load.context_len == 2000
    assert longer.requests == Requests(prompt_len=1500, output_len=500, concurrency=6)


def test_a_dense_model_beside_a_mixture_has_as_many_devices_and_nothing_about_experts() -> None:
    question = ask(gpu="h100-sxm", tp=2, dp=4, ep=8, eplb_replicas=8, routing="zipf:1.2", offload="experts=0.5")
    dense = question.for_dense()
    assert dense.parallelism == Parallelism(num_gpus=8)
    assert dense.routing == "uniform"
    assert ask(num_gpus=3, offload="layers=0.5").for_dense().parallelism.offload.what == "layers"


@pytest.mark.parametrize(
    ("text", "offload"),
    [
        ("experts", Offload(what="experts", share=1.0, text="experts")),
        ("Layers=0.3", Offload(what="layers", share=0.3, text="Layers=0.3")),
        ("experts=0.5@epyc-9654", Offload(what="experts", share=0.5, cpu="epyc-9654", text="experts=0.5@epyc-9654")),
        ("", Offload()),
    ],
)
def test_offload_is_read_once(text: str, offload: Offload) -> None:
    assert ask(offload=text).parallelism.offload == offload


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"batch_size": 0}, "the batch size is 0"),
        ({"batch_size": (1, 2**31)}, "the batch size is 2147483648"),
        ({"context_len": -5}, "the context is -5"),
        ({"prompt_len": 0}, "the prompt length is 0"),
        ({"output_len": 0}, "the output length is 0"),
        ({"concurrency": 0}, "the concurrency is 0"),
        ({"max_num_batched_tokens": 0}, "the max-num-batched-tokens is 0"),
        ({"num_gpus": 0}, "the number of GPUs is 0"),
        ({"device_memory_share": 1.5}, "the share of device memory is 1.5"),
        ({"gpu": "h100-sxm,"}, "--gpu is"),
        ({"gpu": "h1000"}, "unknown accelerator"),
        ({"offload": "experts=1.5"}, "--offload is"),
        ({"offload": "heads=1"}, "--offload is"),
        ({"draft_tokens": 65, "acceptance": 0.5}, "--draft-tokens is 65"),
        ({"draft_tokens": 4}, "--acceptance is None"),
        ({"draft_tokens": 4, "acceptance": 1.5}, "--acceptance is 1.5"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_one_line(given: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=error):
        ask(**given)


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="batchsize"):
        ask(batchsize=3)  # type: ignore[call-arg]


def test_inputs_echo_what_was_asked_with_defaults() -> None:
    plain = ask(batch_size=2).inputs(["mixtral-8x7b"])
    assert plain["gpu"] is None
    assert "prompt_len" not in plain
    asked = ask(gpu="h100-sxm", tp=2, offload="layers=0.5", draft_tokens=2, acceptance=0.6).inputs(["mixtral-8x7b"])
    assert asked["engine"] == "generic"
    assert (asked["tp"], asked["offload"], asked["draft_tokens"], asked["acceptance"]) == (2, "layers=0.5", 2, 0.6)
    assert not {"pp", "ep", "dp", "eplb_replicas", "draft_model", "calibration"} & set(asked)
