"""Simulate a server under load: a replay of its engine's scheduler, for one model or several."""

from collections.abc import Callable, Iterator
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy, device_warnings, drafting, format_warnings, speedup_warnings
from sparsecalc.decide.model_name import split_name
from sparsecalc.decide.multi_token_prediction import prediction_notes, variant_of
from sparsecalc.decide.question import Question
from sparsecalc.decide.scene import refuse_what_no_cache_holds, scene_of
from sparsecalc.decide.simulation_figures import figures
from sparsecalc.decide.targets import Targets
from sparsecalc.decide.traffic import TrafficAsked
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.simulate import SimulatedModel, SimulateReport, SimulationRatio
from sparsecalc.estimate.replay.results import RequestTimes
from sparsecalc.estimate.replay.served import Scene, Served, costs_of
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
        found |= {"rate": list(traffic.rates), "concurrency": traffic.concurrency, "trace": traffic.trace}
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
    """Each model on each accelerator under the traffic, at each rate. `keep` gets the requests of each replay.

    Raises InputError for traffic that makes no sense, and for a request that no device holds.
    """
    traffic = asked.traffic.traffic()
    models: list[SimulatedModel] = []
    warnings: list[Note] = []
    servers = [(name, gpu) for name in names for gpu in question.devices.accelerators]
    for name, gpu in servers:
        shown, scene, notes = _server(name, gpu, question, asked, traffic)
        warnings += notes
        for model, served in _under_load(shown, scene, asked, traffic):
            models.append(model)
            if keep:
                keep(model.model, served.rows())
    firsts = models[: max(1, len(asked.traffic.rates))]
    return SimulateReport(
        command="simulate",
        inputs=question.inputs(names) | asked.inputs(),
        warnings=warnings,
        models=models,
        ratios=[_ratio(model, firsts[at % len(firsts)]) for at, model in enumerate(models)] if len(servers) > 1 else [],
    )


def _server(
    name: str, gpu: Accelerator, question: Question, asked: Asked, traffic: Traffic
) -> tuple[dict[str, Any], Scene, list[Note]]:
    """What is said of a model's server whatever the traffic does, the server, and what must be known of it."""
    variant = variant_of(name, question)
    deployed = deploy(variant.model, variant.precision, question, gpu)
    requested = bool(variant.dtype or question.formats.dtype)
    notes = [*variant.loaded.warnings, *format_warnings(deployed, requested), *device_warnings(deployed)]
    notes += [*speedup_warnings(deployed, question), *prediction_notes(deployed.model.spec, question.speculative)]
    capacity = HeldMemory(deployed, question)
    scene = scene_of(deployed, question, capacity, drafting(question, deployed), traffic.longest).but(
        replicas=asked.replicas,
        prefill_replicas=asked.prefill_replicas,
        router=asked.router,
        prefix_hit_share=asked.prefix_hit_share,
    )
    refuse_what_no_cache_holds(scene, traffic.longest, "the longest request")
    shown = {
        "model": name if split_name(name)[1] else variant.loaded.spec.id,
        "accelerator": gpu.id,
        "num_gpus": scene.num_gpus,
        "placement": deployed.placement.name,
        "engine": deployed.device.engine.id,
        "weights_dtype": variant.precision.name,
        "max_num_seqs": scene.limits.max_num_seqs,
        "max_num_batched_tokens": scene.limits.max_num_batched_tokens // deployed.placement.pp,
    }
    return shown, scene, notes


def _under_load(
    shown: dict[str, Any], scene: Scene, asked: Asked, traffic: Traffic
) -> Iterator[tuple[SimulatedModel, Served]]:
    """The server under each rate that is asked for, or at the highest that keeps the targets, or under its traffic."""
    costs, rates = costs_of(scene, traffic), asked.traffic.rates or (None,)
    found: dict[str, Any] = {}
    if asked.find_rate:
        from sparsecalc.decide.highest_rate import highest_rate

        highest = highest_rate(scene, traffic, costs, asked.targets, asked.attained_share)
        rates = (highest.requests_per_second or highest.least,)
        found = {"highest_rate": highest.requests_per_second, "why": highest.why}
    for rate in rates:
        served = Served(scene, traffic.faster(rate or 1.0), costs)
        yield SimulatedModel(**shown, **found, rate=rate, simulation=figures(served, asked.targets)), served


def _ratio(mine: SimulatedModel, first: SimulatedModel) -> SimulationRatio:
    one, other = mine.simulation, first.simulation
    return SimulationRatio(
        model=mine.model,
        accelerator=mine.accelerator,
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
