"""A server under load: TTFT of an idle server, TPOT in closed loop, speculative decoding."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Self

from sparsecalc.core.arrays import Number, is_array, least, most
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.replay.policy import policy_of
from sparsecalc.estimate.step import Step
from sparsecalc.model.spec import ModelSpec

StepOf = Callable[[Sequence[Workload]], Step]
"""Seconds of a step that computes these workloads together."""
DecodeOf = Callable[[Number, Number], Workload]
"""The decode step of so many sequences (second) at a context (first)."""


class Copies(Frozen):
    """Copies of the attention, each with an equal share of the requests (data parallelism)."""

    count: int = 1
    in_lockstep: bool = True
    """Whether they compute the experts together, so that each step takes as long as that of the slowest."""

    gathering_steps: int = 0
    """Steps for which those in lockstep put prompts off until each of them has one."""

    @classmethod
    def of(cls, plan: Placement, spec: ModelSpec, engine: str) -> Self:
        """Those of a placement under an engine: mixtures of experts keep them in lockstep."""
        gathering = policy_of(engine).gathering_steps
        return cls(count=plan.dp, in_lockstep=bool(spec.mixtures), gathering_steps=gathering)


ONE_COPY = Copies()


def chunks(prompt_len: Number, size: int, routing: Routing | None = None, depth: int = 0) -> list[Workload]:
    """A prompt in chunks of at most `size` tokens, each of which sees the ones before it (chunked prefill).

    Of an array of prompts, the shorter ones have no new tokens in the last chunks. `depth`: tokens that the cache
    holds before the prompt. Of very many chunks, neighbours are as many of the one in their middle (`steps`): their
    seconds are linear in what they see.
    """
    longest = int(prompt_len.max()) if is_array(prompt_len) else prompt_len
    full, work = longest // size, Workload.prefill(1, logits="last", routing=routing or Routing())
    ends = [full * part // MOST_CHUNKS for part in range(MOST_CHUNKS + 1)] if full > MOST_CHUNKS else [*range(full + 1)]
    workloads = []
    for first, behind in pairwise(ends):
        middle = size * (first + behind - 1) // 2
        end = least(prompt_len, middle + size)
        new = most(end - middle, 0)
        workloads.append(work.but(context_len=depth + end, new_tokens=new, steps=behind - first))
    if longest % size:
        workloads.append(work.but(context_len=depth + prompt_len, new_tokens=most(prompt_len - full * size, 0)))
    return workloads


MOST_CHUNKS = 64


def prefill_step(prompt: Sequence[Workload], step: StepOf) -> Step:
    """One prompt (no array of them) on an idle server: its chunks one after another, as one step."""
    return together([(chunk.steps, step([chunk])) for chunk in prompt])


def together(steps: Sequence[tuple[int, Step]]) -> Step:
    """So many of each step, one after another, as one step: errors of all go along."""
    if len(steps) == 1 and steps[0][0] == 1:
        return steps[0][1]
    seconds = sum(count * step.seconds for count, step in steps)
    spread = sum(step.spread * count * step.seconds for count, step in steps) / seconds
    return Step([time.repeated(count) for count, step in steps for time in step.times], seconds, spread)


def tpot_seconds(
    requests: Requests,
    prompt: Sequence[Workload],
    step: StepOf,
    decode: DecodeOf,
    tokens_per_step: float = 1,
    copies: Copies = ONE_COPY,
) -> Step:
    """Seconds per output token of one request, when each slot prefills its `prompt`, in chunks, once per request.

        [t(c) + sum over chunks of (own_i * stalls / K + shared_i * r)] / tokens_per_step

    c the concurrency, n = output_len / tokens_per_step the steps of a request, contexts at their mean,
    prompt_len + output_len / 2. r = (c - 1) / (n - 1) prompts begin per step, each in K chunks. A chunk on one of dp
    copies makes the step longer by own_i, what its copy computes, and a further one by shared_i, what it leaves to the
    experts of all copies. Of dp copies in lockstep a step waits where any has a chunk; each has one with the chance
    q = r K / dp, so stalls = 1 - (1 - q)^dp, or q where q is above 1. Copies that put prompts off for G steps until
    each has one: stalls = max(q, min(r K, 1 / G)). One copy: own_i = t(c - 1 with the chunk) - t(c), shared_i = 0,
    stalls = r K. Copies without common experts wait for nobody: r = (c / dp - 1) / (n - 1).

    prompt_len, output_len and concurrency may be arrays that broadcast.
    """
    concurrency, steps = requests.concurrency, requests.output_len / tokens_per_step
    context = requests.prompt_len + requests.output_len // 2
    alone = step([decode(context, concurrency)])
    if not is_array(steps) and steps <= 1:
        return Step(alone.times, alone.seconds / tokens_per_step, alone.spread)
    others = decode(context, most(concurrency - 1, 1))
    seen = concurrency - 1 if copies.in_lockstep else most(concurrency / copies.count - 1, 0)
    rate = seen / most(steps - 1, TINY) * (steps > 1)
    parts = sum(chunk.steps * (chunk.new_tokens > 0) for chunk in prompt)
    stalls = _stalls(rate * parts, copies) / parts
    extra: Number = 0.0
    for chunk in prompt:
        begun = chunk.but(new_tokens=most(chunk.new_tokens, 1))  # those of an array without any count nothing
        longer = most(step([others, begun]).seconds - alone.seconds, 0.0)
        shared: Number = 0.0
        if copies.in_lockstep and copies.count > 1:
            everywhere = step([others, begun.but(batch_size=copies.count)]).seconds - alone.seconds
            shared = most(everywhere - longer, 0.0) / (copies.count - 1)
        extra = extra + ((longer - shared) * stalls + shared * rate) * chunk.steps * (chunk.new_tokens > 0)
    return Step(alone.times, (alone.seconds + extra) / tokens_per_step, alone.spread)


TINY = 1e-9
"""Keeps what is multiplied by zero finite."""


def _stalls(chunks_per_step: Number, copies: Copies) -> Number:
    """Stalls per step by chunks of which so many are begun per step: steps with a chunk, or more where they queue."""
    if copies.count == 1 or not copies.in_lockstep:
        return chunks_per_step
    chance = chunks_per_step / copies.count
    if copies.gathering_steps:
        return most(chance, least(chunks_per_step, 1 / copies.gathering_steps))
    return 1 - (1 - least(chance, 1.0)) ** copies.count + most(chance - 1, 0.0)


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
