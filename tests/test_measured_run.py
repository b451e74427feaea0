"""What `profile` and `bench` are asked: defaults, what is refused, and what their documents tell of it."""

from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.decide.measured_run import MeasuredRun, ask_bench, ask_profile, checked_run

RUN_KEYS = {
    *("device", "layers", "dtype", "experts_implementation", "routing", "time_budget_seconds"),
    *("memory_limit_bytes", "calibration"),
}


def test_a_profile_tells_what_was_asked() -> None:
    inputs = ask_profile(batch_sizes=[1, 8], context_lens=[64], run=MeasuredRun(layers=2)).inputs()
    assert set(inputs) == {"phases", "batch_sizes", "context_lens", *RUN_KEYS}
    assert (inputs["phases"], inputs["batch_sizes"], inputs["context_lens"]) == (("prefill", "decode"), (1, 8), (64,))
    assert (inputs["layers"], inputs["dtype"], inputs["time_budget_seconds"]) == (2, "bf16", 300.0)


def test_a_generation_tells_what_was_asked() -> None:
    inputs = ask_bench(batch_size=3, prompt_len=5, output_len=2, run=MeasuredRun()).inputs()
    assert set(inputs) == {"batch_size", "prompt_len", "output_len", *RUN_KEYS}
    assert (inputs["batch_size"], inputs["prompt_len"], inputs["output_len"]) == (3, 5, 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dtype": "fp8"}, "unknown dtype 'fp8'"),
        ({"experts_implementation": "eagr"}, "unknown experts implementation 'eagr'"),
        ({"layers": 0}, "number of layers is 0"),
        ({"time_budget_seconds": 0.0}, "must be more than 0"),
        ({"time_budget_seconds": float("nan")}, "must be more than 0"),
        ({"memory_limit_bytes": 0}, "must be more than 0"),
        ({"memory_limit_bytes": 2**60}, "must be more than 0"),
    ],
)
def test_runs_that_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as error:
        checked_run(MeasuredRun(**changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ({"batch_size": 0}, "the batch size is 0"),
        ({"prompt_len": -1}, "the prompt length is -1"),
        ({"output_len": 1}, "the output length is 1"),
        ({"output_len": 2**31}, "the output length is"),
    ],
)
def test_generations_that_are_refused(lengths: dict[str, int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        ask_bench(**lengths, run=MeasuredRun())
