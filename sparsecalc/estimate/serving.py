"""A server under load: TTFT of an idle server, TPOT in closed loop, throughput, speculative decoding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sparsecalc.core.workload import Workload
from sparsecalc.estimate.step import Step


@dataclass(slots=True)
class Loop:
    """Requests of `prompt_len` tokens that each generate `output_len`; `concurrency` of them are always in flight."""

    prompt_len: int
    output_len: int
    concurrency: int
    max_num_batched_tokens: int


StepOf = Callable[[Sequence[Workload]], Step]
"""Seconds of a step that computes these workloads together."""


def chunks(prompt_len: int, size: int, batch_size: int = 1) -> list[Workload]:
    """A prompt in chunks of at most `size` tokens, each of which sees the ones before it (chunked prefill)."""
    found = []
    for start in range(0, prompt_len, size):
        end = min(prompt_len, start + size)
        found.append(
            Workload(phase="prefill", batch_size=batch_size, new_tokens=end - start, context_len=end, logits="last")
        )
    return found


def prefill_seconds(loop: Loop, step: StepOf) -> float:
    """Seconds of one prompt on an idle server: its chunks one after another."""
    return float(sum(step([chunk]).seconds for chunk in chunks(loop.prompt_len, loop.max_num_batched_tokens)))


def tpot_seconds(loop: Loop, step: StepOf, decode: Callable[[int, int], Workload]) -> float:
    """Seconds per output token of one request, when each slot prefills once per `output_len` tokens.

    t(c) + (c - 1) / (output_len - 1) * sum over chunks of [t(c - 1 with the chunk) - t(c)],  c the concurrency,
    at the mean context prompt_len + output_len / 2.
    """
    context = loop.prompt_len + loop.output_len // 2
    alone = float(step([decode(context, loop.concurrency)]).seconds)
    if loop.concurrency == 1 or loop.output_len < 2:
        return alone
    others = decode(context, loop.concurrency - 1)
    longer = 0.0
    for chunk in chunks(loop.prompt_len, loop.max_num_batched_tokens):
        longer += max(0.0, float(step([others, chunk]).seconds) - alone)
    return alone + (loop.concurrency - 1) / (loop.output_len - 1) * longer
