"""The first line that a command prints is the answer to what new users ask of it."""

import pytest
from conftest import Run

QUESTIONS = {
    "does it fit, and how fast is it": (
        ["show", "llama-3.1-8b", "--gpu", "h200-sxm", "--engine", "vllm", "--context", "32k"],
        "llama-3.1-8b fits on 1 x h200-sxm (",
        ["largest batch", "largest context", "maximum concurrency", "per token", "USD per million output tokens"],
    ),
    "how much context is left on a card": (
        ["show", "gpt-oss-20b", "--gpu", "rtx-4080", "--context", "32k"],
        "gpt-oss-20b does not fit on 1 x rtx-4080: ",
        ["per device too much; would fit: 2 devices, a context of "],
    ),
    "experts in host memory": (
        ["show", "deepseek-v3", "--gpu", "h200-sxm", "--offload", "experts=1"],
        "deepseek-v3 fits on 1 x h200-sxm (",
        ["609.1 GiB in host memory"],
    ),
    "experts that a batch touches": (
        ["routing", "qwen3-235b-a22b", "--routing", "zipf:0.7", "--batch-size", "32"],
        "At batch 32 this routing reaches 94.2 of 128 experts",
        ["the experts' weights"],
    ),
    "which model is cheaper": (
        ["compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100-sxm", "--num-gpus", "4"],
        "mixtral-8x7b is cheaper on 4 x h100-sxm",
        ["USD per million output tokens"],
    ),
    "where the cheaper model changes": (
        ["crossover", "mixtral-8x7b", "llama-2-13b", "--gpu", "h100-sxm", "--num-gpus", "2"],
        "USD per M output tokens: mixtral-8x7b is cheaper up to batch ",
        ["beyond"],
    ),
    "settings of a fine-tuning": (
        ["finetune", "llama-3.1-8b", "--method", "lora", "--gpu", "rtx-4090", "--tokens", "10e6"],
        "LoRA of llama-3.1-8b on 1 rtx-4090 with full checkpointing",
        ["hours", "USD"],
    ),
    "the rate that breaks a target": (
        ["simulate", "llama-3.1-8b", "--gpu", "h100-sxm", "--find-rate", "--slo", "tpot=50ms", "--requests", "200"],
        "llama-3.1-8b keeps the targets up to ",
        ["requests/s on 1 x h100-sxm"],
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_first_line_answers(question: str, quick_run: Run) -> None:
    command, start, parts = QUESTIONS[question]
    found = quick_run(*command)
    assert found.rc == 0, found.stderr
    first = found.stdout.splitlines()[0]
    assert first.startswith(start)
    assert all(part in first for part in parts)
