"""MLPerf's server and interactive results: the highest rate of arrivals under the limits, by the replay."""

from collections.abc import Iterator, Sequence
from functools import cache
from math import log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from sparsecalc.data_files import read_data
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.highest_rate import highest_rate
from sparsecalc.decide.mlperf import BestLayout, layouts, mlperf_check, mlperf_rows, reach, running_sequences
from sparsecalc.decide.question import ask
from sparsecalc.decide.scene import limits_of
from sparsecalc.decide.targets import Targets
from sparsecalc.decide.traffic import Lengths
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.replay.policy import policy_of
from sparsecalc.estimate.replay.served import Scene, costs_of
from sparsecalc.estimate.replay.traffic import Traffic, poisson
from sparsecalc.estimate.saturated import mean_step, output_tokens_per_second
from sparsecalc.estimate.serving import chunks, prefill_step

CANDIDATES, PROMISING = 2, 0.8
"""Layouts that are replayed: those that promise most under both limits, no less than this share of the best."""
ATTAINED = 0.99
"""Share of the requests that keep the limits. Source: MLPerf's rules, p99."""
LEAST_REQUESTS, MOST_REQUESTS, TURNS = 1500, 8000, 20
"""Requests of a replay: so many for each that runs at once, within bounds."""
LONGEST_RAMP = 0.4
"""Share of a replay's requests that may run at once: with more the server is never as full as it will be."""
BRACKET, HALVINGS = (0.4, 1.1), 5
"""Shares of what the mean step promises between which the rate is sought, and how often they are halved: to 2 %."""
WIDEST = 1.0
"""Largest sigma of lognormal lengths."""


def server_checks() -> Iterator[Check]:
    """Server and interactive results: seconds per output token of one device, of the best layout."""
    for row in mlperf_rows():
        names = ("benchmark", "scenario", "dtype", "kv_cache", "gpu", "engine")
        if row["scenario"] == "offline" or f"{row['benchmark']} {row['scenario']}" in _benchmarks()["not_predicted"]:
            continue
        if best := best_server(*(row[name] for name in names), reach(row)):
            yield mlperf_check(row, best)


def _benchmarks() -> dict[str, Any]:
    found: dict[str, Any] = read_data("mlperf_benchmarks.json")
    return found


@cache
def best_server(
    benchmark: str, scenario: str, dtype: str, kv_cache: str, gpu: str, engine: str, devices: int
) -> BestLayout | None:
    """The layout that keeps the limits at the highest rate, and its tokens per second; None where none keeps them."""
    entry = _benchmarks()["benchmarks"][benchmark]
    lengths = Requests(prompt_len=entry["prompt_len"], output_len=entry["output_len"], concurrency=1)
    limits = entry["limits"][scenario]
    promising = [
        (
            _slack(deployed, entry, limits),
            *_under_limit(deployed, lengths, most, limits["tpot_seconds"]),
            deployed,
            most,
        )
        for deployed, most in layouts(entry["model"], dtype, kv_cache, gpu, engine, devices, lengths)
    ]
    promising = sorted((each for each in promising if each[0] * each[1] > 0), key=lambda each: -each[0] * each[1])
    found = [
        _replayed(entry, scenario, deployed, most, promise, devices)
        for slack, *promise, deployed, most in promising[:CANDIDATES]
        if slack * promise[0] >= PROMISING * promising[0][0] * promising[0][1]
    ]
    return max((best for best in found if best), key=lambda best: best.tokens_per_second, default=None)


def _slack(deployed: Deployment, entry: dict[str, Any], limits: dict[str, float]) -> float:
    """Share of the limit of TTFT that the longest prompt leaves on an idle server: the less, the emptier it must be."""
    prompt = chunks(entry["longest_prompt"], _benchmarks()["scheduler"]["max_num_batched_tokens"], deployed.routing)
    return max(0.0, 1 - float(prefill_step(prompt, deployed.step).seconds) / limits["ttft_seconds"])


def _under_limit(deployed: Deployment, lengths: Requests, most: int, limit: float) -> tuple[float, int]:
    """Tokens per second of one device and sequences at once where the mean step keeps the limit of TPOT; else 0."""
    running = running_sequences(deployed.placement, most)
    if not len(running):
        return 0.0, 0
    running = running[running <= LONGEST_RAMP * MOST_REQUESTS]
    requests = lengths.but(concurrency=running)
    step = mean_step(deployed, requests)
    rates = output_tokens_per_second(requests, step) * (step.seconds <= limit)
    best = int(np.argmax(rates))
    return float(rates[best]) / deployed.placement.num_gpus, int(running[best])


def _replayed(
    entry: dict[str, Any], scenario: str, deployed: Deployment, most: int, promise: Sequence[float], devices: int
) -> BestLayout | None:
    """The highest rate of one layout, its copies beside each other behind one router.

    `promise`: tokens per second of one device, and sequences at once, of the mean step under the limit of TPOT.
    """
    plan, limits, running = deployed.placement, entry["limits"][scenario], int(promise[1])
    copies = max(1, min(devices // plan.num_gpus, MOST_REQUESTS // (TURNS * running)))
    traffic = traffic_of(entry, min(MOST_REQUESTS, max(LEAST_REQUESTS, TURNS * running * copies)))
    scene = scene_at(deployed, most, traffic.longest).but(replicas=copies)
    targets = Targets(ttft=limits["ttft_seconds"], tpot=limits["tpot_seconds"])
    promised = promise[0] * scene.num_gpus / float(traffic.output_tokens.mean())
    bracket = (BRACKET[0] * promised, BRACKET[1] * promised)
    costs = costs_of(scene, traffic)
    rate = highest_rate(
        scene, traffic, costs, targets, ATTAINED, bracket=bracket, halvings=HALVINGS
    ).requests_per_second
    if rate is None:
        return None
    return BestLayout(
        tokens_per_second=rate * float(traffic.output_tokens.mean()) / scene.num_gpus,
        spread=deployed.step([deployed.decode(entry["prompt_len"], running)]).spread,
        placement=plan.name,
        running=running,
    )


def scene_at(deployed: Deployment, most: int, longest: int) -> Scene:
    """One server with the scheduler that submissions use, which lets in as many sequences as memory holds."""
    facts = _benchmarks()
    question = ask(
        gpu=deployed.gpu.id,
        engine=deployed.device.engine.id,
        device_memory_share=facts["device_memory_share"]["value"],
        context_len=longest,
        max_num_batched_tokens=facts["scheduler"]["max_num_batched_tokens"],
    )
    sequences = max(1, most // deployed.placement.dp)
    limits = limits_of(HeldMemory(deployed, question), question, question.load.but(batch_size=sequences))
    policy = policy_of(facts["scheduler"]["policy"])
    return Scene(deployed=deployed, limits=limits.but(max_num_seqs=sequences), policy=policy)


def traffic_of(entry: dict[str, Any], requests: int) -> Traffic:
    """A benchmark's requests as a Poisson process of one per second."""
    generator = np.random.default_rng(0)
    lengths = [
        np.minimum(
            _lengths(entry[f"{name}_len"], entry[f"longest_{name}"], requests, generator), entry[f"longest_{name}"]
        )
        for name in ("prompt", "output")
    ]
    return Traffic(
        prompt_tokens=lengths[0], output_tokens=lengths[1], arrival_seconds=poisson(1.0, requests, generator)
    )


def _lengths(mean: int, longest: int, requests: int, generator: np.random.Generator) -> Any:
    return Lengths(mean=mean, sigma=lognormal_sigma(mean, longest)).drawn(requests, generator)


def lognormal_sigma(mean: float, longest: float) -> float:
    """Sigma of lognormal lengths whose 99.9th percentile is the longest: z s - s^2 / 2 = ln(longest / mean)."""
    above, far = NormalDist().inv_cdf(0.999), log(longest / mean)
    inside = above * above - 2 * far
    return min(WIDEST, above - sqrt(inside)) if inside > 0 else WIDEST
