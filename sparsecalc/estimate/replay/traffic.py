"""The requests of a replay: when they arrive, how long their prompts and answers are, and what became of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsecalc.core.frozen import Frozen

Array = np.ndarray[Any, Any]
Floats = list[float]


class Traffic(Frozen):
    """Requests in the order in which they are issued.

    Open loop: each arrives at its own second. Closed loop: `concurrency` of them arrive at once, each further one the
    moment another has been answered.
    """

    prompt_tokens: Array
    output_tokens: Array
    arrival_seconds: Array | None = None
    """Ascending; None in a closed loop."""
    concurrency: int | None = None

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.prompt_tokens)

    @property
    def longest(self) -> int:
        """Tokens of the longest request, prompt and answer."""
        return int((self.prompt_tokens + self.output_tokens).max())

    def faster(self, factor: float) -> "Traffic":
        """The same requests, their gaps divided by `factor`; a closed loop has none."""
        arrivals = self.arrival_seconds
        return self if arrivals is None else self.but(arrival_seconds=arrivals / factor)


def poisson(rate: float, requests: int, generator: np.random.Generator) -> Array:
    """Seconds of arrival of a Poisson process of `rate` requests per second, the first at its first gap."""
    return np.cumsum(generator.exponential(1 / rate, requests))


@dataclass(slots=True)
class Lives:
    """What became of each request: seconds since the start of the replay, as lists that share their order."""

    prompt: list[int]
    output: list[int]
    hits: list[int]
    """Tokens of the prompt that a prefix cache has."""
    arrival: Floats
    """When the client sends it; `front` seconds later the engine has it."""
    front: Floats
    scheduled: Floats = field(default_factory=list)
    first: Floats = field(default_factory=list)
    last: Floats = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    """Tokens in the cache before the request decodes."""
    made: Floats = field(default_factory=list)
    """Tokens of the answer that were made before the request was last let in."""
    ready: list[bool] = field(default_factory=list)
    """Whether the prompt was computed elsewhere and its cache has arrived."""

    @classmethod
    def of(cls, traffic: Traffic, hit_share: float = 0.0, front: Array | None = None) -> "Lives":
        """Nothing has happened yet; of each prompt at least one token is computed."""
        prompt, count = traffic.prompt_tokens.tolist(), traffic.requests
        hits = [min(int(tokens * hit_share), tokens - 1) for tokens in prompt]
        arrival = [0.0] * count if traffic.arrival_seconds is None else traffic.arrival_seconds.tolist()
        unset = [-1.0] * count
        return cls(
            prompt=prompt,
            output=traffic.output_tokens.tolist(),
            hits=hits,
            arrival=arrival,
            front=[0.0] * count if front is None else front.tolist(),
            scheduled=unset,
            first=list(unset),
            last=list(unset),
            computed=[0] * count,
            made=[0.0] * count,
            ready=[False] * count,
        )
