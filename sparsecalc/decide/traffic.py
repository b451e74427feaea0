"""The traffic of a simulation as it is typed: arrivals, and the lengths of prompts and answers."""

import os
from math import isfinite
from typing import TYPE_CHECKING, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_lists import number
from sparsecalc.core.text import brief
from sparsecalc.decide.question import positive
from sparsecalc.estimate.engine_defaults import engine_default, whole_default
from sparsecalc.estimate.load import Requests

if TYPE_CHECKING:
    import numpy as np

    from sparsecalc.estimate.replay.traffic import Traffic

MOST_REQUESTS = 1_000_000
MOST_RATE, MOST_RATES = 1e6, 256
LENGTH_HINT = "Such as 1024, 1024~0.2 (within 20 % of it), lognormal:1024:0.8, or a file with a length per line"


class Lengths(Frozen):
    """Tokens of prompts or answers: a mean with a spread around it, or values that are drawn from."""

    mean: int
    spread: float = 0.0
    """Evenly within so much of the mean, both ways."""
    sigma: float = 0.0
    """Of ln(length), where lengths are lognormal."""
    values: tuple[int, ...] = ()

    def drawn(self, requests: int, generator: "np.random.Generator") -> "np.ndarray[Any, Any]":
        """Lengths of so many requests, at least 1 each, in random order.

        They lie at evenly spaced quantiles of their distribution, so that their mean is that of the distribution.
        """
        import numpy as np

        if self.values:
            return generator.choice(np.array(self.values), requests)
        quantiles = (np.arange(requests) + 0.5) / requests
        if self.sigma:
            scale = np.exp(self.sigma * _normal_quantiles(quantiles))
            lengths = self.mean * scale / scale.mean()
        else:
            lengths = self.mean * (1 + self.spread * (2 * quantiles - 1))
        return np.asarray(np.maximum(1, generator.permutation(np.rint(lengths))), dtype=int)

    @property
    def longest(self) -> int:
        """The longest that can be drawn; of a lognormal distribution its 99.9th percentile."""
        from math import ceil, exp

        if self.values:
            return max(self.values)
        return ceil(self.mean * exp(3.1 * self.sigma)) if self.sigma else ceil(self.mean * (1 + self.spread))


def _normal_quantiles(quantiles: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    from statistics import NormalDist

    import numpy as np

    return np.array([NormalDist().inv_cdf(each) for each in quantiles])


def plain_lengths(mean: int) -> Lengths:
    """Lengths around a mean, with the usual spread."""
    return Lengths(mean=mean, spread=engine_default("length_spread"))


def closed_loop(requests: Requests) -> "Traffic":
    """Requests that are always in flight, lengths around their means with the usual spread."""
    prompt, output = plain_lengths(requests.prompt_len), plain_lengths(requests.output_len)
    return TrafficAsked(concurrency=int(requests.concurrency), prompt=prompt, output=output).traffic()


def lengths_of(text: str | None, name: str, default: int) -> Lengths:
    """Lengths as typed: a number, `1024~0.2`, `lognormal:1024:0.8`, or a file. Raises InputError for anything else."""
    if text is None:
        return plain_lengths(default)
    typed = text.strip()
    if typed.lower().startswith("lognormal:"):
        parts = typed.split(":")[1:]
        mean, sigma = _number(parts[0], name, text), _number(parts[1] if len(parts) == 2 else "", name, text)
        if not 0 <= sigma <= 3:
            raise InputError(f"the sigma of {name} is {sigma:g}", hint="It must be between 0 and 3")
        return Lengths(mean=_whole(mean, name), sigma=sigma)
    if os.path.lexists(typed):
        from sparsecalc.library.traffic_files import read_lengths

        values = read_lengths(typed)
        return Lengths(mean=max(1, round(sum(values) / len(values))), values=values)
    middle, tilde, share = typed.partition("~")
    spread = _number(share, name, text) if tilde else engine_default("length_spread")
    if not 0 <= spread < 1:
        raise InputError(f"the spread of {name} is {spread:g}", hint="It must be 0 or more, and less than 1")
    return Lengths(mean=_whole(_number(middle, name, text), name), spread=spread)


def _number(text: str, name: str, typed: str) -> float:
    try:
        return number(text)
    except ValueError as error:
        raise InputError(f"{name} is {brief(typed)}", hint=LENGTH_HINT) from error


def _whole(value: float, name: str) -> int:
    if not isfinite(value) or value != int(value):
        raise InputError(f"{name} is {value:g}", hint="It takes a whole number of tokens")
    positive(name, int(value))
    return int(value)


class TrafficAsked(Frozen):
    """Which requests come, and when: a rate, a closed loop, or a trace."""

    rates: tuple[float, ...] = ()
    """Requests per second, one or several; each rate has the same requests."""
    concurrency: int | None = None
    trace: str | None = None
    prompt: Lengths
    output: Lengths
    requests: int | None = None
    seed: int = 0

    def traffic(self) -> "Traffic":
        """The requests, at one per second where rates are asked for. Raises InputError for a trace that is none."""
        import numpy as np

        from sparsecalc.estimate.replay.traffic import Traffic, poisson

        if self.trace:
            from sparsecalc.library.traffic_files import read_trace

            arrivals, prompts, outputs = read_trace(self.trace, self.requests, MOST_REQUESTS)
            return Traffic(prompt_tokens=prompts, output_tokens=outputs, arrival_seconds=arrivals)
        generator = np.random.default_rng(self.seed)
        count = self.count
        prompts, outputs = self.prompt.drawn(count, generator), self.output.drawn(count, generator)
        if not self.rates:
            return Traffic(prompt_tokens=prompts, output_tokens=outputs, concurrency=self.concurrency or 1)
        arrivals = poisson(1.0, count, generator)
        return Traffic(prompt_tokens=prompts, output_tokens=outputs, arrival_seconds=arrivals)

    @property
    def question_options(self) -> dict[str, int]:
        """The same as options of the question: mean lengths, and the requests in flight."""
        if self.trace:
            return {}
        found = {"prompt_len": self.prompt.mean, "output_len": self.output.mean}
        return found | ({"concurrency": self.concurrency} if self.concurrency else {})

    @property
    def count(self) -> int:
        """Requests that are drawn: as asked, or ten for each in flight, or the usual number."""
        if self.requests:
            return self.requests
        if not self.rates:
            return int(engine_default("requests_per_slot")) * (self.concurrency or 1)
        return whole_default("simulated_requests")


def _rates(given: str | float | None) -> tuple[float, ...]:
    """`8`, or `1,2,4`. Raises InputError for what is no rate, and for too many of them."""
    if given is None:
        return ()
    try:
        rates = tuple(float(part) for part in str(given).split(","))
    except ValueError as error:
        raise InputError(f"--rate is {brief(str(given))}", hint="Requests per second: 8, or 1,2,4") from error
    for rate in rates:
        if not 0 < rate <= MOST_RATE:
            hint = f"It must be more than 0 and at most {MOST_RATE:g} per second"
            raise InputError(f"--rate is {rate:g}", hint=hint)
    if len(rates) > MOST_RATES:
        raise InputError(f"--rate has {len(rates)} values", hint=f"It takes at most {MOST_RATES}")
    return rates


def traffic_asked(
    *,
    rate: str | float | None = None,
    concurrency: int | None = None,
    trace: str | None = None,
    prompt_len: str | None = None,
    output_len: str | None = None,
    requests: int | None = None,
    seed: int = 0,
    find_rate: bool = False,
) -> TrafficAsked:
    """The traffic that options ask for. Raises InputError unless it is exactly one kind, with sensible numbers."""
    named = {"--rate": rate, "--concurrency": concurrency, "--trace": trace, "--find-rate": find_rate or None}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        hint = "Name one of --rate 10, --concurrency 32, --trace FILE, --find-rate"
        raise InputError(f"{' and '.join(given)} exclude each other" if given else "no traffic is named", hint=hint)
    rates = _rates(rate)
    if trace is not None and (prompt_len or output_len):
        raise InputError("a trace has its own lengths", hint="Leave out --prompt-len and --output-len")
    positive("concurrency", concurrency)
    for name, value in (("number of requests", requests), ("concurrency", concurrency)):
        positive(name, value)
        if value and value > MOST_REQUESTS:
            raise InputError(f"the {name} is {value:,}", hint=f"It is at most {MOST_REQUESTS:,}")
    return TrafficAsked(
        rates=(1.0,) if find_rate else rates,
        concurrency=concurrency,
        trace=trace,
        prompt=lengths_of(prompt_len, "--prompt-len", whole_default("simulated_prompt_len")),
        output=lengths_of(output_len, "--output-len", whole_default("output_len")),
        requests=requests,
        seed=seed,
    )
