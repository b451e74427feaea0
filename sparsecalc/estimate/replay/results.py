"""The figures of a replay, as the JSON contract names them."""

from dataclasses import field
from typing import Any

import numpy as np

from sparsecalc.core.frozen import Frozen

Array = np.ndarray[Any, Any]


class Quantiles(Frozen):
    """A distribution: its mean, and the values below which so many per cent of the requests lie."""

    mean: float
    """Mean."""
    p50: float
    """Median."""
    p90: float
    """90th percentile."""
    p99: float
    """99th percentile."""

    @classmethod
    def of(cls, values: Array, weights: Array | None = None) -> "Quantiles":
        """The distribution of values, each counted `weights` times; zeros of none."""
        if not len(values):
            return cls(mean=0.0, p50=0.0, p90=0.0, p99=0.0)
        if weights is None:
            p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99))
            return cls(mean=float(values.mean()), p50=float(p50), p90=float(p90), p99=float(p99))
        order = np.argsort(values)
        passed = np.cumsum(weights[order])
        places = np.searchsorted(passed, np.array((0.5, 0.9, 0.99)) * passed[-1])
        p50, p90, p99 = values[order][np.minimum(places, len(values) - 1)]
        return cls(mean=float(np.average(values, weights=weights)), p50=float(p50), p90=float(p90), p99=float(p99))


class LoadAt(Frozen):
    """The server at one moment."""

    seconds: float
    """Seconds since the start."""
    running: int
    """Requests that have been let in."""
    waiting: int
    """Requests that wait."""
    kv_cache_usage: float
    """Share of the KV cache that is in use, 0 to 1, on the fullest copy."""


class Simulation(Frozen):
    """What became of all requests of a replay. Times are those that a client sees."""

    requests: int
    """Requests that were answered: all of them."""
    duration_seconds: float
    """Seconds from the start to the last token of all."""
    ttft_seconds: Quantiles
    """Seconds to the first token (TTFT), queue and way to the client included."""
    ttft_seconds_low: float
    """Lower end of the 80 % band of the mean TTFT, of which published runs lay so far off."""
    ttft_seconds_high: float
    """Upper end of that band."""
    tpot_seconds: Quantiles
    """Seconds per output token after the first (TPOT), of each request with more than one."""
    tpot_seconds_low: float
    """Lower end of the 80 % band of the mean TPOT, as far as the step model knows its error."""
    tpot_seconds_high: float
    """Upper end of that band."""
    itl_seconds: Quantiles
    """Seconds between two tokens of a request (ITL), over all tokens."""
    e2e_seconds: Quantiles
    """Seconds from the arrival to the last token."""
    queue_seconds: Quantiles
    """Seconds from the arrival until the engine lets a request in."""
    output_tokens_per_second: float
    """Output tokens of all requests, divided by the duration."""
    output_tokens_per_second_per_gpu: float
    """The same, divided by the number of devices."""
    prompt_tokens_per_second: float
    """Prompt tokens of all requests, divided by the duration."""
    requests_per_second: float
    """Requests, divided by the duration."""
    running_mean: float
    """Mean number of requests that have been let in."""
    waiting_mean: float
    """Mean number of requests that wait."""
    kv_cache_usage_peak: float
    """Largest share of the KV cache in use, 0 to 1."""
    preemptions: int
    """Times that a request was put back into the queue because the cache was full."""
    goodput_share: float | None = None
    """Share of the requests that meet every target of `--slo`; None without one."""
    usd_per_million_output_tokens: float | None = None
    """US dollars per million output tokens; None without a price."""
    timeline: list[LoadAt] = field(default_factory=list)
    """The server at equally spaced moments."""


class RequestTimes(Frozen):
    """What became of one request: a row of `--per-request`."""

    request: int
    """Number of the request, from 0."""
    arrival_seconds: float
    """Second of its arrival."""
    prompt_tokens: int
    """Tokens of its prompt."""
    output_tokens: int
    """Tokens of its answer."""
    queue_seconds: float
    """Seconds until the engine let it in."""
    ttft_seconds: float
    """Seconds to its first token."""
    tpot_seconds: float | None
    """Seconds per output token after the first; None where there is none."""
    e2e_seconds: float
    """Seconds to its last token."""
