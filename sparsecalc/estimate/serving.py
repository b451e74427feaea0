"""A server under load: TTFT of an idle server, TPOT in closed loop, speculative decoding."""

from collections.abc import Callable, Sequence

from sparsecalc.core.arrays import Number, is_array, least, most
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.step import Step

StepOf = Callable[[Sequence[Workload]], Step]
"""Seconds of a step that computes these workloads together."""
DecodeOf = Callable[[Number, Number], Workload]
"""The decode step of so many sequences (second) at a context (first)."""


def chunks(prompt_len: Number, size: int, routing: Routing | None = None) -> list[Workload]:
    """A prompt in chunks of at most `size` tokens, each of which sees the ones before it (chunked prefill).

    Of an array of prompts, the shorter ones have no new tokens in the last chunks.
    """
    longest = int(prompt_len.max()) if is_array(prompt_len) else prompt_len
    workloads = []
    for start in range(0, longest, size):
        end = least(prompt_len, start + size)
        work = Workload.prefill(end, logits="last", routing=routing or Routing())
        workloads.append(work.but(new_tokens=most(end - start, 0)))
    return workloads


def prefill_step(prompt: Sequence[Workload], step: StepOf) -> Step:
    """One prompt (no array of them) on an idle server: its chunks one after another, as one step."""
    steps = [step([chunk]) for chunk in prompt]
    if len(steps) == 1:
        return steps[0]
    seconds = sum(part.seconds for part in steps)
    spread = sum(part.spread * part.seconds for part in steps) / seconds
    return Step([time for part in steps for time in part.times], seconds, spread)


def tpot_seconds(
    requests: Requests, prompt: Sequence[Workload], step: StepOf, decode: DecodeOf, tokens_per_step: float = 1
) -> Step:
    """Seconds per output token of one request, when each slot prefills its `prompt`, in chunks, once per request.

        [t(c) + (c - 1) / (n - 1) * sum over chunks of (t(c - 1 with the chunk) - t(c))] / tokens_per_step

    c the concurrency, n = output_len / tokens_per_step the steps of a request, contexts at their mean,
    prompt_len + output_len / 2. prompt_len and concurrency may be arrays that broadcast.
    """
    concurrency, steps = requests.concurrency, requests.output_len / tokens_per_step
    context = requests.prompt_len + requests.output_len // 2
    alone = step([decode(context, concurrency)])
    extra: Number = 0.0
    if steps > 1:
        others = decode(context, most(concurrency - 1, 1))
        for chunk in prompt:
            longer = most(step([others, chunk]).seconds - alone.seconds, 0.0)
            extra = extra + longer * (chunk.new_tokens > 0)
        extra = extra * (concurrency - 1) / (steps - 1)
    return Step(alone.times, (alone.seconds + extra) / tokens_per_step, alone.spread)


def acceptance_of(draft_tokens: int, accepted_length: float) -> float:
    """The acceptance, 0 to 1, at which a step of `draft_tokens` guesses yields `accepted_length` tokens.

    Inverse of `accepted_tokens`, by bisection.
    """
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if accepted_tokens(draft_tokens, middle) < accepted_length else (low, middle)
    return (low + high) / 2


BISECTIONS = 40
"""To a precision of 1e-12."""


def accepted_tokens(draft_tokens: int, acceptance: float) -> float:
    """Expected tokens of a step that verifies `draft_tokens` guesses: (1 - a ** (g + 1)) / (1 - a); g + 1 at a = 1.

    Source: arXiv:2211.17192, equation 1.
    """
    if acceptance >= 1:
        return draft_tokens + 1.0
    return (1 - acceptance ** (draft_tokens + 1)) / (1 - acceptance)
