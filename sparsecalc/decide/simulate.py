"""Simulate a server under load: a replay of its engine's scheduler, for one model or several."""

from collections.abc import Callable

import numpy as np

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy, device_warnings, drafting, format_warnings, speedup_warnings
from sparsecalc.decide.model_name import load_variant, split_name
from sparsecalc.decide.question import Question
from sparsecalc.decide.scene import refuse_what_no_cache_holds, scene_of
from sparsecalc.decide.targets import Targets
from sparsecalc.decide.traffic import TrafficAsked
from sparsecalc.documents.simulate import SimulatedModel, SimulateReport, SimulationRatio
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.replay.results import Quantiles, RequestTimes, Simulation
from sparsecalc.estimate.replay.served import Served, costs_of
from sparsecalc.estimate.replay.traffic import Traffic


class Asked(Frozen):
    """What a simulation is asked beside the question: its traffic, its servers, its targets."""

    traffic: TrafficAsked
    targets: Targets = Targets()
    replicas: int = 1
    prefill_replicas: int = 0
    router: str = "least-loaded"
    prefix_hit_share: float = 0.0
    find_rate: bool = False
    attained_share: float = 0.99

    def inputs(self) -> dict[str, object]:
        """What was asked, for the document."""
        traffic = self.traffic
        found: dict[str, object] = {"seed": traffic.seed, "replicas": self.replicas, "router": self.router}
        found |= {"rate": traffic.rate, "concurrency": traffic.concurrency, "trace": traffic.trace}
        if not traffic.trace:
            found |= {"prompt_len": traffic.prompt.to_dict(), "output_len": traffic.output.to_dict()}
            found |= {"requests": traffic.count}
        optional = {
            "prefill_replicas": self.prefill_replicas,
            "prefix_hit_share": self.prefix_hit_share,
            "slo": self.targets.text,
            "find_rate": self.find_rate,
            "attained_share": self.attained_share if self.find_rate else None,
        }
        return {**found, **{name: value for name, value in optional.items() if value}}


def simulate(
    names: list[str],
    question: Question,
    asked: Asked,
    keep: Callable[[str, list[RequestTimes]], None] | None = None,
) -> SimulateReport:
    """Each model under the traffic. `keep` gets each model's requests one by one.

    Raises InputError for traffic that makes no sense, and for a request that no device holds.
    """
    traffic = asked.traffic.traffic()
    models: list[SimulatedModel] = []
    warnings: list[Note] = []
    for name in names:
        model, rows, notes = _simulated(name, question, asked, traffic)
        models.append(model)
        warnings += notes
        if keep:
            keep(model.model, rows())
    return SimulateReport(
        command="simulate",
        inputs=question.inputs(names) | asked.inputs(),
        warnings=warnings,
        models=models,
        ratios=[_ratio(model, models[0]) for model in models] if len(models) > 1 else [],
    )


def _simulated(
    name: str, question: Question, asked: Asked, traffic: Traffic
) -> tuple[SimulatedModel, Callable[[], list[RequestTimes]], list[Note]]:
    variant = load_variant(name, question.formats.dtype, question.formats.kv_cache_dtype, question.parts_beside)
    gpu = question.devices.accelerators[0]
    deployed = deploy(variant.model, variant.precision, question, gpu)
    requested = bool(variant.dtype or question.formats.dtype)
    notes = [*variant.loaded.warnings, *format_warnings(deployed, requested), *device_warnings(deployed)]
    notes += speedup_warnings(deployed, question)
    longest = int((traffic.prompt_tokens + traffic.output_tokens).max())
    capacity = HeldMemory(deployed, question)
    scene = scene_of(deployed, question, capacity, drafting(question, gpu), longest).but(
        replicas=asked.replicas,
        prefill_replicas=asked.prefill_replicas,
        router=asked.router,
        prefix_hit_share=asked.prefix_hit_share,
    )
    refuse_what_no_cache_holds(scene, longest, "the longest request")
    costs = costs_of(scene, traffic)
    rate = None
    if asked.find_rate:
        from sparsecalc.decide.highest_rate import highest_rate

        rate = highest_rate(scene, traffic, costs, asked.targets, asked.attained_share)
        traffic = traffic.faster(rate.requests_per_second or rate.least)
    served = Served(scene, traffic, costs)
    plan = deployed.placement
    shown = SimulatedModel(
        model=name if split_name(name)[1] else variant.loaded.spec.id,
        accelerator=gpu.id,
        num_gpus=scene.num_gpus,
        placement=plan.name,
        engine=deployed.device.engine.id,
        weights_dtype=variant.precision.name,
        max_num_seqs=scene.limits.max_num_seqs,
        max_num_batched_tokens=scene.limits.max_num_batched_tokens // plan.pp,
        simulation=figures(served, asked.targets),
        highest_rate=rate.requests_per_second if rate else None,
        why=rate.why if rate else "",
    )
    return shown, served.rows, notes


def figures(served: Served, targets: Targets | None = None) -> Simulation:
    """The figures of a replay that has been run."""
    scene, traffic = served.scene, served.traffic
    seconds, tokens = served.duration, int(traffic.output_tokens.sum())
    tpot = Quantiles.of(served.tpot)
    queue = Quantiles.of(served.queue)
    low, high = band(served)
    per_hour = usd_per_hour(scene.deployed.gpu, scene.num_gpus)
    met = targets.met(served) if targets else None
    return Simulation(
        requests=traffic.requests,
        duration_seconds=seconds,
        ttft_seconds=Quantiles.of(served.ttft),
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


def _ratio(mine: SimulatedModel, first: SimulatedModel) -> SimulationRatio:
    one, other = mine.simulation, first.simulation
    return SimulationRatio(
        model=mine.model,
        to=first.model,
        ttft_seconds=one.ttft_seconds.mean / other.ttft_seconds.mean,
        tpot_seconds=_over(one.tpot_seconds.mean, other.tpot_seconds.mean),
        e2e_seconds=one.e2e_seconds.mean / other.e2e_seconds.mean,
        output_tokens_per_second=one.output_tokens_per_second / other.output_tokens_per_second,
        usd_per_million_output_tokens=_over(one.usd_per_million_output_tokens, other.usd_per_million_output_tokens),
        highest_rate=_over(mine.highest_rate, first.highest_rate),
    )


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if base and value is not None else None
