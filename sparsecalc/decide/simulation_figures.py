"""The figures of a replay that has been run."""

from math import exp

import numpy as np

from sparsecalc.decide.targets import Targets
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.replay.results import Quantiles, Simulation
from sparsecalc.estimate.replay.served import Served
from sparsecalc.estimate.step import BAND


def figures(served: Served, targets: Targets | None = None) -> Simulation:
    """The figures of a replay that has been run."""
    scene, traffic = served.scene, served.traffic
    seconds, tokens = served.duration, int(traffic.output_tokens.sum())
    tpot = Quantiles.of(served.tpot)
    queue = Quantiles.of(served.queue)
    ttft, (low, high), first = Quantiles.of(served.ttft), band(served), first_token_band(served)
    per_hour = usd_per_hour(scene.deployed.gpu, scene.num_gpus)
    met = targets.met(served) if targets else None
    return Simulation(
        requests=traffic.requests,
        duration_seconds=seconds,
        ttft_seconds=ttft,
        ttft_seconds_low=ttft.mean / first,
        ttft_seconds_high=ttft.mean * first,
        tpot_seconds=tpot,
        tpot_seconds_low=tpot.mean * low,
        tpot_seconds_high=tpot.mean * high,
        itl_seconds=served.itl,
        e2e_seconds=Quantiles.of(served.e2e),
        queue_seconds=queue,
        output_tokens_per_second=tokens / seconds,
        output_tokens_per_second_per_gpu=tokens / seconds / scene.num_gpus,
        prompt_tokens_per_second=float(traffic.prompt_tokens.sum()) / seconds,
        requests_per_second=traffic.requests / seconds,
        running_mean=float(served.inside.sum()) / seconds,
        waiting_mean=float(served.queue.sum()) / seconds,
        kv_cache_usage_peak=served.peak,
        preemptions=served.preemptions,
        goodput_share=None if met is None else float(np.mean(met)),
        usd_per_million_output_tokens=usd_per_million_tokens(per_hour, seconds / tokens),
        timeline=served.timeline(),
    )


def band(served: Served) -> tuple[float, float]:
    """Ends of the 80 % band of a step at the mean load, as factors."""
    deployed, traffic = served.scene.deployed, served.traffic
    spans = float(served.inside.sum()) / served.duration
    context = int(traffic.prompt_tokens.mean() + traffic.output_tokens.mean() / 2)
    step = deployed.step([deployed.decode(context, max(1, round(spans)))])
    return step.seconds_low / step.seconds, step.seconds_high / step.seconds


def first_token_band(served: Served) -> float:
    """Upper end of the 80 % band of the mean TTFT, as a factor; the lower end is 1 over it."""
    engine = served.scene.deployed.device.engine
    return exp(BAND * float(engine.first_token_spread_at(served.running)))
